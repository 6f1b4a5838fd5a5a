"""Keeps one worker process alive beside the server, and ends it with the server, however that ends."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
import time
from pathlib import Path

logger = logging.getLogger(__name__)

#: Seconds before a worker that ended is started again: each time twice as long, until it lived for a while.
FIRST_WAIT_S, LONGEST_WAIT_S, LIVED_S = 1.0, 60.0, 120.0
#: Seconds that it has to end in good order.
GRACE_S = 25.0


#: Bytes after which a log is put aside at the next start.
LONGEST_LOG = 10_000_000


class Supervisor:
    """Starts `lesionlabel worker` and starts it again when it ends. It ends when its standard input closes, so also when this
    process is killed. log: the file that its output is added to.
    """

    def __init__(self, log: Path) -> None:
        self._log = log
        self._stopping = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._thread = threading.Thread(target=self._keep, name="worker-supervisor", daemon=True)

    def start(self) -> None:
        if self._log.exists() and self._log.stat().st_size > LONGEST_LOG:
            self._log.replace(self._log.with_suffix(".1.log"))
        self._thread.start()

    def stop(self) -> None:
        """End the worker; what it was at goes on with the next one."""
        self._stopping.set()
        process = self._process
        if process is not None and process.stdin is not None:
            process.stdin.close()
            try:
                process.wait(GRACE_S)
            except subprocess.TimeoutExpired:
                process.kill()
        self._thread.join(GRACE_S)

    def _keep(self) -> None:
        wait = FIRST_WAIT_S
        while not self._stopping.is_set():
            started = time.monotonic()
            try:
                ended = f"ended with status {self._run()}"
            except OSError as error:  # as where the disk is full or no process can be had: that passes
                ended = f"could not be started ({error.strerror})"
            if self._stopping.is_set():
                return
            wait = FIRST_WAIT_S if time.monotonic() - started > LIVED_S else min(2 * wait, LONGEST_WAIT_S)
            logger.warning("The worker %s; another starts in %.0f s. %s says more.", ended, wait, self._log.name)
            self._stopping.wait(wait)

    def _run(self) -> int:
        """Start a worker, wait until it ends, and return its status. Raises OSError where none can be started."""
        with self._log.open("ab") as log:
            command = [sys.executable, "-P", "-m", "lesionlabel.cli", "worker", "--supervised"]
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=log, stderr=log)
        if self._stopping.is_set() and self._process.stdin is not None:
            self._process.stdin.close()
        return self._process.wait()
