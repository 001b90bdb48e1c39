"""The time of the Redis server, for records that several hosts compare."""

from collections.abc import Callable

import redis

from worker.clock import Clock


class ServerTime:
    """Seconds since 1970 by the clock of the Redis server.

    The hosts of workers need not agree about the time: a worker whose clock is ahead by more than the
    visibility timeout would take every delivery of the others for overdue.

    Args:
        client: Gives a client with time-outs.
        clock: For the time that passes between two questions.
        max_age: Seconds for which an answer is carried on; 0 to ask each time.
    """

    def __init__(self, client: Callable[[], redis.Redis], clock: Clock, max_age: float = 0.0) -> None:
        self._client = client
        self._clock = clock
        self._max_age = max_age
        # Seconds to add to our monotonic clock, and the monotonic time at which we asked.
        self._known: tuple[float, float] | None = None

    def __call__(self) -> float:
        """The time now.

        Raises:
            redis.RedisError: The server does not answer, and never did.
        """
        asked = self._clock.monotonic()
        if self._known is None or asked - self._known[1] >= self._max_age:
            try:
                seconds, micros = self._client().time()
            except redis.RedisError:
                # In an outage our own clock carries the last answer on. Without any answer there is no time.
                if self._known is None:
                    raise
            else:
                self._known = (seconds + micros / 1_000_000 - self._clock.monotonic(), asked)
        return self._known[0] + self._clock.monotonic()
