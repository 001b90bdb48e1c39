"""The life of a process that is only the door: start, take messages in until a signal, stop."""

import signal
from contextlib import ExitStack
from types import FrameType

from worker.concurrency.background import PeriodicThread
from worker.process.app import Application
from worker.settings import Settings

_LOOK_SECONDS = 0.1


class _Signalled:
    """A flag that a signal handler sets; the handler may do nothing else.

    It must not set an event: that takes a lock, and the thread that it interrupts may hold this very lock.
    """

    def __init__(self) -> None:
        self.told = False

    def on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self.told = True


def run_door_alone(settings: Settings) -> int:
    """Run only the door, until a signal says stop."""
    signalled = _Signalled()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signalled.on_signal)
    with ExitStack() as stack:
        application = Application(settings, stack)
        stop = application.stop_door

        def look() -> None:
            if signalled.told:
                stop.set()

        watcher = PeriodicThread("signals", look, _LOOK_SECONDS, application.clock)
        application.live["signals"] = watcher.heartbeat.check
        watcher.start()
        stack.callback(watcher.stop)
        application.ready["door"] = application.door_check
        telemetry = application.telemetry
        telemetry.watch(application.observer(lambda: 0), slots=0, running=lambda: 0, draining=stop.is_set)
        telemetry.start_health()
        telemetry.started = True
        application.run_door()
        return 0
