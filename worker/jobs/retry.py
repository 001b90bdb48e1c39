"""Whether a failed attempt is tried again, and when. A policy that returns a decision; callers obey it."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from worker.contract.errors import JobError, Reason, TransientError

#: Failures that say nothing about the job: the service is away, too busy, or takes nobody's credentials.
#: They cost no attempt, because a service that is away for an hour must not cost an hour's consultations.
OUTAGES = frozenset({Reason.UPSTREAM_UNAVAILABLE, Reason.RATE_LIMITED, Reason.AUTH_REJECTED})


@dataclass(frozen=True, slots=True)
class TryAgain:
    """Wait, then try again. `counts` is False in an outage: then the next try is no further attempt."""

    delay: float
    counts: bool


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Fail the job. `cause` is why the last attempt failed, if `reason` only says why we give up."""

    reason: Reason
    detail: str
    cause: Reason | None = None


Decision = TryAgain | GiveUp


@dataclass(frozen=True, slots=True)
class RetryState:
    """What went wrong with a job so far.

    Attributes:
        attempt: Number of the failed attempt, from 1.
        tries: Tries in a row that met an outage, this one included if it did.
        lasting: Seconds since the first of these tries failed.
    """

    attempt: int
    tries: int = 0
    lasting: float = 0.0


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Exponential backoff with full jitter.

    Attributes:
        attempts: How many attempts a job gets in all.
        base: Seconds; the first wait is drawn from 0..base, each later range is twice as wide.
        cap: The widest range, and the most seconds of a server's `Retry-After` that we wait.
        outage: Seconds for which an outage is waited out.
    """

    attempts: int = 5
    base: float = 1.0
    cap: float = 60.0
    outage: float = 3600.0

    def decide(
        self, error: JobError, state: RetryState, chance: float, now: datetime, not_after: datetime | None
    ) -> Decision:
        """What to do after a try failed.

        Args:
            error: Why it failed.
            state: What went wrong before.
            chance: A number in 0..1, drawn anew for each call.
            now: Wall-clock time.
            not_after: The job's own deadline, if it has one.
        """
        if not isinstance(error, TransientError):
            return GiveUp(error.reason, error.detail)
        outage = error.reason in OUTAGES
        if outage and state.lasting >= self.outage:
            return GiveUp(error.reason, f"it lasted {state.lasting:.0f} s: {error.detail}")
        if not outage and state.attempt >= self.attempts:
            detail = f"{state.attempt} attempts failed, the last one because: {error.detail}"
            return GiveUp(Reason.ATTEMPTS_EXHAUSTED, detail, cause=error.reason)
        delay = self._delay(error, state.tries if outage else state.attempt, chance)
        if not_after is not None and now + timedelta(seconds=delay) >= not_after:
            detail = (
                f"the job's not_after passes before the next attempt; the last one failed: {error.detail}"
            )
            return GiveUp(Reason.EXPIRED, detail, cause=error.reason)
        return TryAgain(delay, counts=not outage)

    def _delay(self, error: TransientError, tries: int, chance: float) -> float:
        # The exponent is bounded too: an outage of an hour would overflow it.
        backoff = chance * min(self.cap, self.base * 2.0 ** min(tries - 1, 30))
        # Wait for the time that a server names, plus our jitter, so that not all jobs come back at once.
        return backoff + min(error.retry_after or 0.0, self.cap)
