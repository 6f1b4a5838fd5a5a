from lesionlabel.datastore.answers import AnswerLog


def test_who_saw_an_answer_survives_a_restart_and_names_nobody(tmp_path):
    AnswerLog(tmp_path).record("case", "dr-example", "v1", 0.25)
    again = AnswerLog(tmp_path)
    assert again.saw("case", "dr-example") is True
    assert again.saw("case", "someone else") is None
    assert again.saw("case", None) is None
    assert again.saw("other", "dr-example") is False
    assert "dr-example" not in (tmp_path / "case.json").read_text()


def test_the_highest_entropy_of_a_version_is_kept_and_a_new_version_starts_afresh(tmp_path):
    log = AnswerLog(tmp_path)
    for entropy in (0.2, 0.9, 0.5):
        log.record("case", "a", "v1", entropy)
    assert log.entropy("case", "v1") == 0.9
    log.record("case", "a", "v2", 0.1)
    assert log.entropy("case", "v2") == 0.1
    assert log.entropy("case", "v1") is None


def test_a_damaged_log_leaves_open_who_saw_an_answer(tmp_path):
    AnswerLog(tmp_path).record("case", "a", "v1", 0.2)
    (tmp_path / "case.json").write_text("{ half")
    assert AnswerLog(tmp_path).saw("case", "a") is None
