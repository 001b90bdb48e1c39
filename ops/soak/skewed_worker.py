"""A worker whose wall clock is wrong by `SOAK_CLOCK_SKEW` seconds: `python -m ops.soak.skewed_worker run`.

It simulates a host without time synchronisation. Only the time that Python reads is shifted: OpenSSL checks
certificates by the machine's clock.
"""

import os
import time
from datetime import datetime, timedelta

_SKEW = float(os.environ["SOAK_CLOCK_SKEW"])
_real_time = time.time


def _time() -> float:
    return _real_time() + _SKEW


# Before other imports, because modules may keep the function by `from time import time`.
time.time = _time

from worker.cli import main  # noqa: E402
from worker.clock import SystemClock  # noqa: E402

_real_wall = SystemClock.wall


def _wall(self: SystemClock) -> datetime:
    return _real_wall(self) + timedelta(seconds=_SKEW)


SystemClock.wall = _wall  # type: ignore[method-assign]

if __name__ == "__main__":
    main()
