"""Everything that a job needs, in memory."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.fakes import (
    FakeAudioLibrary,
    FakeClock,
    FakeCorti,
    FakeInterrupt,
    FakePublisher,
    FakeRecorder,
    FakeTokens,
    FakeWaiter,
    MemoryLedger,
)
from worker.concurrency.interrupt import Interrupt, InterruptReason
from worker.contract.tenancy import Tenancy
from worker.jobs.claims import CapReached, Claim
from worker.jobs.delivery import Deliveries
from worker.jobs.ingress_headers import DeliveryOutcome
from worker.jobs.live import LivePublisher
from worker.jobs.outbox import Sweeper
from worker.jobs.retry import RetryPolicy
from worker.jobs.runner import Runner
from worker.jobs.transcribe import Transcriber
from worker.protocol.messages import FactsMessage, TranscriptMessage, Usage
from worker.protocol.pace import Chunk


class World:
    """The service, the ledger, the broker and the parts of a worker, all in memory."""

    def __init__(
        self,
        *says: TranscriptMessage | FactsMessage | Usage,
        attempts: int = 3,
        outage: float = 3600.0,
        job_seconds: float = 21600.0,
        republish: bool = False,
    ) -> None:
        self.clock = FakeClock()
        self.waits: list[float] = []
        self.interrupt = FakeInterrupt(self.clock, self.waits)
        self.recorder = FakeRecorder()
        self.publisher = FakePublisher(clock=self.clock)
        self.ledger = MemoryLedger(self.clock)
        self.auth = FakeTokens()
        self.service = FakeCorti(self.auth, says=list(says), clock=self.clock)
        self.library = FakeAudioLibrary(
            [Chunk(b"a" * 8, 0.25), Chunk(b"b" * 8, 0.25), Chunk(b"c" * 4, 0.125)]
        )
        self.transcriber = Transcriber(self.auth, self.service, self.library, self.service)
        self.runner = Runner(
            transcribers={"base": self.transcriber},
            live=lambda job, fence: LivePublisher(self.publisher, job, fence, self.clock),
            publisher=self.publisher,
            outbox=self.ledger,
            attempts=self.ledger,
            retry=RetryPolicy(attempts, base=2.0, cap=60.0, outage=outage),
            recorder=self.recorder,
            clock=self.clock,
            waiter=FakeWaiter(self.clock, self.waits),
            chance=lambda: 0.5,
            queue="corti.work",
            patience=300.0,
        )
        self.sweeper = Sweeper(self.ledger, self.publisher, self.recorder)
        self.full_for = 0.0
        self.full_now, self.cap_reached = False, False
        self.placed: list[str | None] = []
        self.deliveries = Deliveries(
            claims=self.ledger,
            keep=self._keep,
            runner=self.runner,
            aside=self.publisher,
            caps=self,
            read=Tenancy("base", {"base": None}).read,
            repeat=self.sweeper.deliver if republish else lambda _: False,
            recorder=self.recorder,
            clock=self.clock,
            job_seconds=job_seconds,
        )

    def run(self, body: bytes) -> DeliveryOutcome:
        """Take a delivery with this body; the next delivery gets a new interrupt."""
        try:
            return self.deliveries.take(body, self.interrupt)
        finally:
            self.interrupt = FakeInterrupt(self.clock, self.waits)

    def nothing_is_left_open(self) -> bool:
        """Whether every stream and every audio was closed, and no claim is renewed any more."""
        return self.service.open_streams == self.library.open_now == 0 and not self.ledger.kept

    @contextmanager
    def _keep(self, claim: Claim, interrupt: Interrupt, until: float | None) -> Iterator[None]:
        """Stand in for the lease renewer: renew the claim, and interrupt the job when its time is over."""
        assert isinstance(interrupt, FakeInterrupt)
        if until is not None:
            left = until - self.clock.monotonic()
            interrupt.after(left, lambda: interrupt.trigger(InterruptReason.EXPIRED))
        self.ledger.kept.add(claim.owner)
        try:
            yield
        finally:
            self.ledger.kept.discard(claim.owner)

    def is_full(self, tenant: str | None) -> bool:
        """See `Caps`; the answer is `full_now`, which a test sets."""
        return self.full_now

    @contextmanager
    def admitted(self, tenant: str | None, owner: str, interrupt: Interrupt) -> Iterator[None]:
        """See `Caps`; wait for `full_for` seconds, or raise if `cap_reached`."""
        assert owner in self.ledger.kept
        self.placed.append(tenant)
        if self.cap_reached:
            raise CapReached
        if self.full_for:
            interrupt.wait(self.full_for)
        yield
