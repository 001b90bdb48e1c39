"""The types and ports of the ledger: claims on jobs, attempts, the outbox, and caps on a tenant's streams."""

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import ClassVar, Protocol

from worker.concurrency.interrupt import Interrupt
from worker.contract.job import JobId


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to run a job now.

    Attributes:
        job_id: The job.
        owner: Random name of this claim.
        fence: A number that only grows; of two claims on a job the larger one is right.
        attempts: Number of the attempt that this claim starts with, from 1.
        takeover: Whether a claim before it ran out, because its worker died or froze.
        interaction_id: The job's interaction, if an earlier attempt made one; else empty.
        stream_url: Where it streams to; else empty.
    """

    job_id: JobId
    owner: str
    fence: int
    attempts: int
    takeover: bool = False
    interaction_id: str = ""
    stream_url: str = ""

    @property
    def outcome(self) -> str:
        """The result of asking for a claim, as a metrics label. `Busy` and `Finished` have one, too."""
        return "taken_over" if self.takeover else "claimed"


@dataclass(frozen=True, slots=True)
class Busy:
    """Somebody else has the claim; unless it is renewed, it ends in `seconds`."""

    seconds: float
    outcome: ClassVar[str] = "busy"


@dataclass(frozen=True, slots=True)
class Finished:
    """The job has ended. `undelivered`: its result is not confirmed by the broker yet."""

    undelivered: bool
    outcome: ClassVar[str] = "finished"


@dataclass(frozen=True, slots=True)
class OutboxEntry:
    """How a job ended, ready to be delivered: its final event, and the dead letter if it failed."""

    job_id: str
    outcome: str
    event_type: str
    event: bytes
    reply_to: str | None
    letter: bytes | None


class LedgerUnavailable(Exception):
    """Redis did not answer. Nothing is lost: the broker still has the job.

    Args:
        error: What kind of error it was.
        why: The cause in words, if an operator can do something about it.
    """

    def __init__(self, error: str, why: str | None = None) -> None:
        super().__init__(f"{error}: {why}" if why else error)
        self.why = why


class ClaimLost(Exception):
    """Somebody else has the claim now, or the job is finished: stop, and publish nothing."""


class Claims(Protocol):
    """Claims on jobs. Every method raises LedgerUnavailable when Redis does not answer."""

    def claim(self, job_id: str) -> Claim | Busy | Finished:
        """Ask for the right to run a job."""
        ...

    def release(self, claim: Claim) -> None:
        """Give a claim back; its attempt does not count."""
        ...


class Attempts(Protocol):
    """What a job carries from one attempt to the next, across workers."""

    def again(self, claim: Claim) -> int:
        """Count another attempt; raises ClaimLost."""
        ...

    def remember(self, claim: Claim, interaction_id: str, stream_url: str) -> None:
        """Keep the job's interaction."""
        ...


class Outbox(Protocol):
    """Results between the end of a job and the broker's confirmation."""

    def store(self, claim: Claim, outbox_entry: OutboxEntry) -> None:
        """Keep an outbox entry, and with it the end of the job; raises ClaimLost."""
        ...

    def delivered(self, job_id: str) -> None:
        """The broker has confirmed the outbox entry."""
        ...


class Caps(Protocol):
    """Caps on the streams that a tenant may have at once. A tenant without one is never full."""

    def is_full(self, tenant: str | None) -> bool:
        """Whether `admitted` would raise CapReached now, as far as one can tell."""
        ...

    def admitted(self, tenant: str | None, owner: str, interrupt: Interrupt) -> AbstractContextManager[None]:
        """Wait until the tenant may have another stream, and count it while the context lasts.

        Args:
            tenant: The job's.
            owner: Name of the job's claim.
            interrupt: Ends the wait.

        Raises:
            CapReached: Too many of the tenant's jobs wait here already.
        """
        ...


class CapReached(Exception):
    """The tenant has all its streams, and as many jobs as may wait here: this job must be set aside."""
