"""The server's own worker comes back, whatever kept it from starting."""

from __future__ import annotations

import time

from lesionlabel.jobs import supervisor


def test_a_worker_that_cannot_be_started_is_tried_again(tmp_path, monkeypatch, caplog) -> None:
    monkeypatch.setenv("LESIONLABEL_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(supervisor, "FIRST_WAIT_S", 0.05)
    log = tmp_path / "worker.log"
    log.mkdir()  # nothing can be written there
    kept = supervisor.Supervisor(log)
    kept.start()
    try:
        end = time.monotonic() + 120
        while "could not be started (Is a directory)" not in caplog.text:
            assert time.monotonic() < end
            time.sleep(0.05)
        log.rmdir()
        while not (log.is_file() and " works." in log.read_text()):
            assert time.monotonic() < end
            time.sleep(0.1)
    finally:
        kept.stop()
