"""Ports of a job whose calls a few other threads make; see `worker.concurrency.offload`."""

from contextlib import AbstractContextManager
from dataclasses import dataclass

from worker.concurrency.offload import OffloadExecutor
from worker.contract.job import Job
from worker.jobs.claims import Busy, Claim, Finished, OutboxEntry
from worker.jobs.ports import Interaction, Interactions, Stream, Streams
from worker.protocol.token import Token
from worker.store.ledger import RedisLedger
from worker.telemetry.audit import Audit, Entry


@dataclass(frozen=True, slots=True)
class OffloadedLedger:
    """`Claims`, `Attempts` and `Outbox`, called on the executor's threads."""

    ledger: RedisLedger
    executor: OffloadExecutor

    def claim(self, job_id: str) -> Claim | Busy | Finished:
        """See `worker.jobs.claims.Claims`."""
        return self.executor.call(lambda: self.ledger.claim(job_id))

    def release(self, claim: Claim) -> None:
        """See `worker.jobs.claims.Claims`."""
        self.executor.call(lambda: self.ledger.release(claim))

    def again(self, claim: Claim) -> int:
        """See `worker.jobs.claims.Attempts`."""
        return self.executor.call(lambda: self.ledger.again(claim))

    def remember(self, claim: Claim, interaction_id: str, stream_url: str) -> None:
        """See `worker.jobs.claims.Attempts`."""
        self.executor.call(lambda: self.ledger.remember(claim, interaction_id, stream_url))

    def store(self, claim: Claim, outbox_entry: OutboxEntry) -> None:
        """See `worker.jobs.claims.Outbox`."""
        self.executor.call(lambda: self.ledger.store(claim, outbox_entry))

    def delivered(self, job_id: str) -> None:
        """See `worker.jobs.claims.Outbox`."""
        self.executor.call(lambda: self.ledger.delivered(job_id))


@dataclass(frozen=True, slots=True)
class OffloadedInteractions:
    """`Interactions`, called on the executor's threads."""

    inner: Interactions
    executor: OffloadExecutor

    def create(self, job: Job, token: Token) -> Interaction:
        """See `worker.jobs.ports.Interactions`."""
        return self.executor.call(lambda: self.inner.create(job, token))

    def find(self, job: Job, token: Token) -> Interaction | None:
        """See `worker.jobs.ports.Interactions`."""
        return self.executor.call(lambda: self.inner.find(job, token))


@dataclass(frozen=True, slots=True)
class OffloadedStreams:
    """`Streams` that connect on the executor's threads; then the pacer's thread has the socket."""

    inner: Streams
    executor: OffloadExecutor

    def open(
        self, interaction: Interaction, token: Token, configuration: str
    ) -> AbstractContextManager[Stream]:
        """See `worker.jobs.ports.Streams`."""
        return self.executor.call(lambda: self.inner.open(interaction, token, configuration))


@dataclass(frozen=True, slots=True)
class OffloadedAudit:
    """`Audit`, called on the executor's threads."""

    inner: Audit
    executor: OffloadExecutor

    def record(self, entry: Entry) -> None:
        """See `worker.telemetry.audit.Audit`."""
        self.executor.call(lambda: self.inner.record(entry))
