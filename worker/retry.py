"""Whether a failed attempt is tried again, and when. A policy that returns a decision; callers obey it."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from worker.errors import JobError, Reason, TransientError


@dataclass(frozen=True, slots=True)
class TryAgain:
    """Wait, then make another attempt."""

    delay: float


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Fail the job. `cause` is the last attempt's reason where `reason` is about the giving up itself."""

    reason: Reason
    detail: str
    cause: Reason | None = None


Decision = TryAgain | GiveUp


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Exponential backoff with full jitter.

    Attributes:
        attempts: How many attempts a job gets in all.
        base: Seconds; the first wait is drawn from 0..base, each later range is twice as wide.
        cap: The widest range, and the longest wait that a server's `Retry-After` is granted.
    """

    attempts: int = 5
    base: float = 1.0
    cap: float = 60.0

    def decide(
        self, error: JobError, attempt: int, chance: float, now: datetime, not_after: datetime | None
    ) -> Decision:
        """What to do after an attempt failed.

        Args:
            error: Why it failed.
            attempt: Number of the failed attempt, from 1.
            chance: A number in 0..1, drawn anew for each call.
            now: Wall-clock time.
            not_after: The job's own deadline, if it has one.
        """
        if not isinstance(error, TransientError):
            return GiveUp(error.reason, error.detail)
        if attempt >= self.attempts:
            detail = f"{attempt} attempts failed, the last one because: {error.detail}"
            return GiveUp(Reason.ATTEMPTS_EXHAUSTED, detail, cause=error.reason)
        delay = self._delay(error, attempt, chance)
        if not_after is not None and now + timedelta(seconds=delay) >= not_after:
            detail = (
                f"the job's not_after passes before the next attempt; the last one failed: {error.detail}"
            )
            return GiveUp(Reason.EXPIRED, detail, cause=error.reason)
        return TryAgain(delay)

    def _delay(self, error: TransientError, attempt: int, chance: float) -> float:
        backoff = chance * min(self.cap, self.base * 2.0 ** (attempt - 1))
        # A server that names a time gets at least that, plus our jitter so that not all come back at once.
        return backoff + min(error.retry_after or 0.0, self.cap)
