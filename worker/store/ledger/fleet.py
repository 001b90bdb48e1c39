"""The processes of an installation: how many jobs they run together, and which of them is the observer.

What a broker holds is the same for everybody who asks. If each of n workers exported it, a sum would be n
times too high, and the broker would be asked n times as often. So one process at a time is the observer.
"""

from uuid import uuid4

import redis

from worker.store.ledger import scripts
from worker.store.ledger.ledger import mapped

#: A process that has not reported for this long counts as gone; so does an observer.
LIFE_SECONDS = 15


class Fleet:
    """This process among the processes that serve a lane.

    Args:
        client: Redis, with time-outs.
        lane: Name of the lane.
    """

    def __init__(self, client: redis.Redis, lane: str) -> None:
        key = f"corti:v1:fleet:{lane or 'main'}"
        self._keys = [key, f"{key}:running", f"{key}:observer"]
        self._name = uuid4().hex
        self._report = client.register_script(scripts.REPORT)
        self._leave = client.register_script(scripts.LEAVE)

    def report(self, running: int) -> int | None:
        """Say how many jobs this process runs.

        Returns:
            How many all processes run, if this one is the observer; else None.

        Raises:
            LedgerUnavailable: Redis does not answer.
        """
        with mapped():
            total = self._report(keys=self._keys, args=[self._name, running, LIFE_SECONDS * 1000])
        return None if total is None else int(total)

    def leave(self) -> None:
        """This process stops; another becomes the observer with its next report."""
        with mapped():
            self._leave(keys=self._keys, args=[self._name])
