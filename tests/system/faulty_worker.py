"""A worker with a bug: each delivery raises an exception right after its job was claimed.

Start it with `python -m tests.system.faulty_worker run`.
"""

from typing import Never

from worker.cli import main
from worker.jobs.delivery import Deliveries


def _broken(*_: object) -> Never:
    raise ArithmeticError("a bug that no test had found")


Deliveries._claimed = _broken  # type: ignore[method-assign, assignment]

if __name__ == "__main__":
    main()
