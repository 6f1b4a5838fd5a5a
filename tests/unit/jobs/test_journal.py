import pytest

from lesionlabel.jobs.journal import Journal, Part
from lesionlabel.lesions.errors import NotFoundError
from lesionlabel.settings import Settings


@pytest.fixture
def journal(tmp_path):
    return Journal(Settings(home=tmp_path), "job-1")


def test_parts_tell_how_far_they_are_and_the_log_every_tenth(journal):
    journal.plan([Part("one", "first part", 1.0)])
    journal.plan([Part("one", "first part", 1.0), Part("two", "second part", 2.0)])
    assert [part.share for part in journal.parts()] == [0.0, 0.0]
    note = journal.hook("one")
    note(0.0, "begins")
    for share in (0.01, 0.05):
        note(share, "not told: too soon")
    note(1.0, "ends")
    one, two = journal.parts()
    assert (one.title, one.share, one.what) == ("first part", 1.0, "ends")
    assert one.started is not None
    assert one.updated is not None
    assert two.started is None
    assert [line.split("Z  ", 1)[1] for line in journal.lines()] == ["first part: begins", "first part: ends"]


def test_a_line_is_one_line_whatever_it_holds(journal):
    journal.say("one\ntwo\r\nthree")
    journal.say("four")
    assert [line.split("Z  ", 1)[1] for line in journal.lines()] == ["one two three", "four"]
    assert len(journal.lines(1)) == 1
    assert oct(journal.log.stat().st_mode)[-3:] == "600"


@pytest.mark.parametrize("job", ["", "..", "../x", "a/b", "/etc", "x" * 200])
def test_an_id_that_no_job_can_have_is_no_path(tmp_path, job):
    with pytest.raises(NotFoundError):
        Journal(Settings(home=tmp_path), job)
