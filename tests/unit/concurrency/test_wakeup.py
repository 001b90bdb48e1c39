"""A wakeup: one thread sleeps, another wakes it."""

import threading

from worker.concurrency.wakeup import Wakeup


def test_several_wakes_before_a_wait_end_one_wait() -> None:
    wakeup = Wakeup()
    assert not wakeup.wait(0)
    wakeup.wake()
    wakeup.wake()
    assert wakeup.wait(0)
    assert not wakeup.wait(0.001)
    assert not wakeup.wait(-1.0), "a negative time must not mean to wait for ever"


def test_it_wakes_a_thread_that_sleeps() -> None:
    wakeup, heard = Wakeup(), threading.Event()

    def sleeper() -> None:
        wakeup.wait()
        heard.set()

    thread = threading.Thread(target=sleeper)
    thread.start()
    assert not heard.is_set()
    wakeup.wake()
    assert heard.wait(5)
    thread.join()
