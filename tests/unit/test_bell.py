"""One thread sleeps, another wakes it."""

import threading

from worker.concurrency.bell import Bell


def test_a_bell_rings_until_it_is_heard_and_once_however_often_it_was_rung() -> None:
    bell = Bell()
    assert not bell.wait(0)
    bell.ring()
    bell.ring()
    assert bell.wait(0)
    assert not bell.wait(0.001)
    assert not bell.wait(-1.0), "a time that has passed is no reason to wait for ever"


def test_it_wakes_a_thread_that_sleeps() -> None:
    bell, heard = Bell(), threading.Event()

    def sleeper() -> None:
        bell.wait()
        heard.set()

    thread = threading.Thread(target=sleeper)
    thread.start()
    assert not heard.is_set()
    bell.ring()
    assert heard.wait(5)
    thread.join()
