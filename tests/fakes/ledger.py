"""The ledger in memory, with the real rules: one claim at a time, growing fences, a job's end is final."""

from dataclasses import dataclass, field
from itertools import count

from tests.fakes.time import FakeClock
from worker.jobs.claims import Busy, Claim, ClaimLost, Finished, LedgerUnavailable, OutboxEntry


@dataclass
class Record:
    """The ledger's record of a job."""

    owner: str = ""
    ends: float = 0.0
    fence: int = 0
    attempts: int = 0
    interaction: tuple[str, str] = ("", "")
    outbox_entry: OutboxEntry | None = None
    delivered: bool = False


@dataclass
class MemoryLedger:
    """Implements `Claims`, `Attempts`, `Outbox` and `Stored`.

    Attributes:
        keep_results: Whether a result stays after its delivery.
        kept: Owners whose claims are being renewed.
        unreadable: Jobs whose stored results cannot be decrypted any more.
        away: How often each method raises as if Redis were away; a negative number means always.
    """

    clock: FakeClock
    lease: float = 30.0
    keep_results: bool = True
    records: dict[str, Record] = field(default_factory=dict)
    kept: set[str] = field(default_factory=set)
    unreadable: set[str] = field(default_factory=set)
    away: dict[str, int] = field(default_factory=dict)
    _names: "count[int]" = field(default_factory=count)

    def claim(self, job_id: str) -> Claim | Busy | Finished:
        self._answer("claim")
        record = self.records.setdefault(job_id, Record())
        if record.delivered or record.outbox_entry is not None:
            return Finished(undelivered=not record.delivered)
        left = self.lease if record.owner in self.kept else record.ends - self.clock.monotonic()
        if record.owner and left > 0:
            return Busy(left)
        takeover, record.owner = bool(record.owner), f"owner-{next(self._names)}"
        record.ends = self.clock.monotonic() + self.lease
        record.fence = max(int(self.clock.monotonic() * 1e6), record.fence + 1)
        record.attempts += 1
        return Claim(job_id, record.owner, record.fence, record.attempts, takeover, *record.interaction)

    def release(self, claim: Claim) -> None:
        self._answer("release")
        record = self.records[claim.job_id]
        if record.owner == claim.owner:
            record.owner, record.ends = "", 0.0
            record.attempts -= 1

    def again(self, claim: Claim) -> int:
        self._answer("again")
        record = self._ours(claim)
        record.attempts += 1
        return record.attempts

    def remember(self, claim: Claim, interaction_id: str, stream_url: str) -> None:
        self._answer("remember")
        record = self.records[claim.job_id]
        if record.owner == claim.owner:
            record.interaction = (interaction_id, stream_url)

    def store(self, claim: Claim, outbox_entry: OutboxEntry) -> None:
        self._answer("store")
        record = self._ours(claim)
        if record.delivered:
            raise ClaimLost
        if record.outbox_entry is None:
            record.outbox_entry = outbox_entry
        record.ends = self.clock.monotonic() + self.lease

    def delivered(self, job_id: str) -> None:
        self._answer("delivered")
        record = self.records[job_id]
        record.delivered, record.owner = True, ""
        if not self.keep_results:
            record.outbox_entry = None

    def take_undelivered(self) -> list[str]:
        self._answer("take_undelivered")
        now = self.clock.monotonic()
        waiting = [
            job_id
            for job_id, record in self.records.items()
            if record.outbox_entry is not None and not record.delivered and record.ends <= now
        ]
        for job_id in waiting:
            self.records[job_id].ends = now + self.lease
        return waiting

    def outbox_entry(self, job_id: str) -> OutboxEntry | None:
        self._answer("outbox_entry")
        return None if job_id in self.unreadable else self.records.get(job_id, Record()).outbox_entry

    def steal(self, job_id: str) -> None:
        """Let the claim run out unnoticed and another worker take the job."""
        self.records[job_id].owner = "somebody else"
        self.kept.add("somebody else")

    def _ours(self, claim: Claim) -> Record:
        record = self.records[claim.job_id]
        if record.owner != claim.owner:
            raise ClaimLost
        return record

    def _answer(self, method: str) -> None:
        left = self.away.get(method, 0)
        if left:
            self.away[method] = left - 1
            raise LedgerUnavailable("ConnectionError")
