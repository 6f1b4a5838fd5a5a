import os
import signal
import threading

import pytest

from lesionlabel.training.hooks import never_stop, stopping_on_signals


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_process_told_to_end_stops_its_loop_in_good_order_and_ends_at_the_second_time(number):
    before = signal.getsignal(number)
    ended = []
    signal.signal(number, lambda *_: ended.append(number))
    try:
        with stopping_on_signals() as should_stop:
            assert not should_stop()
            os.kill(os.getpid(), number)
            assert should_stop()
            assert not ended
            os.kill(os.getpid(), number)
            assert ended == [number]
        os.kill(os.getpid(), number)
        assert ended == [number, number]
    finally:
        signal.signal(number, before)


def test_outside_of_the_main_thread_nothing_is_asked_of_signals():
    found = []

    def run() -> None:
        with stopping_on_signals() as should_stop:
            found.append(should_stop)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert found == [never_stop]
