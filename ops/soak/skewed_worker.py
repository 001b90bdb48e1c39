"""A worker whose wall clock is wrong by `SOAK_CLOCK_SKEW` seconds: `python -m ops.soak.skewed_worker run`.

Clocks of hosts that lost their time server do this. Only what Python reads is shifted: certificates are
checked by the machine's own clock.
"""

import os
import time
from datetime import datetime, timedelta

_SKEW = float(os.environ["SOAK_CLOCK_SKEW"])
_real_time = time.time


def _time() -> float:
    return _real_time() + _SKEW


# Before anything else is imported: others keep the function by `from time import time`.
time.time = _time

from worker.cli import main  # noqa: E402
from worker.clock import SystemClock  # noqa: E402

_real_wall = SystemClock.wall


def _wall(self: SystemClock) -> datetime:
    return _real_wall(self) + timedelta(seconds=_SKEW)


SystemClock.wall = _wall  # type: ignore[method-assign]

if __name__ == "__main__":
    main()
