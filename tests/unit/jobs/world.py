"""The world a job runs in, in memory: auth server, API, audio and streams that keep their own rules."""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field

from tests.fakes import (
    FakeAudioLibrary,
    FakeClock,
    FakeInterrupt,
    FakePublisher,
    FakeRecorder,
    FakeWaiter,
    MemoryLedger,
)
from worker.concurrency.interrupt import Interrupt, InterruptReason
from worker.concurrency.interrupt import Interrupt as AnyInterrupt
from worker.contract.errors import PermanentError, Reason, TokenRefused
from worker.contract.events import AudioFigures
from worker.contract.job import Job
from worker.contract.tenancy import Tenancy
from worker.jobs.claims import CapReached, Claim
from worker.jobs.delivery import Deliveries
from worker.jobs.ingress_headers import DeliveryOutcome
from worker.jobs.live import LivePublisher
from worker.jobs.outbox import Sweeper
from worker.jobs.ports import Interaction, Sent
from worker.jobs.retry import RetryPolicy
from worker.jobs.runner import Runner
from worker.jobs.transcribe import Transcriber
from worker.protocol.messages import FactsMessage, TranscriptMessage, Usage
from worker.protocol.pace import Chunk
from worker.protocol.session import Content
from worker.protocol.token import Token


class AuthServer:
    """Implements `Tokens`: the same token until it is refused, then a new one."""

    def __init__(self) -> None:
        self.issued = 1
        self.revoked: set[str] = set()

    def get(self) -> Token:
        return Token(f"token {self.issued}", f"g{self.issued}", 0.0, 300.0)

    def refused(self, token: Token) -> None:
        if token.generation == f"g{self.issued}":
            self.issued += 1

    def check(self, token: Token) -> None:
        """What the service does with a token."""
        if token.value in self.revoked:
            raise TokenRefused("HTTP 401")


@dataclass
class Service:
    """Implements `Interactions` and `Streams`: refuses revoked tokens and doubled encounters.

    Attributes:
        outages: What goes wrong with the next calls, one each; None is a call that goes well.
        says: What a stream says, a piece after each chunk of audio and the rest at its end.
        during: Called for each chunk of audio.
    """

    auth: AuthServer
    interactions: dict[str, str] = field(default_factory=dict)
    streamed: list[tuple[str, str, bytes]] = field(default_factory=list)
    open_streams: int = 0
    fed_at_hand: list[bool] = field(default_factory=list)
    outages: dict[str, deque[BaseException | None]] = field(default_factory=dict)
    says: list[Content] = field(default_factory=list)
    during: Callable[[], None] = lambda: None
    clock: FakeClock = field(default_factory=FakeClock)

    def create(self, job: Job, token: Token) -> Interaction:
        self._perhaps_fail("create")
        self.auth.check(token)
        if job.encounter_identifier in self.interactions:
            raise PermanentError(Reason.DUPLICATE_ENCOUNTER, "HTTP 409")
        made = f"interaction-{len(self.interactions) + 1}"
        self.interactions[job.encounter_identifier] = made
        return Interaction(made, f"wss://corti.example/{made}")

    def find(self, job: Job, token: Token) -> Interaction | None:
        self._perhaps_fail("find")
        self.auth.check(token)
        made = self.interactions.get(job.encounter_identifier)
        return Interaction(made, f"wss://corti.example/{made}") if made else None

    def open(
        self, interaction: Interaction, token: Token, configuration: str
    ) -> AbstractContextManager["OpenStream"]:
        # The call connects, not the `with`: that is where a refused token has to show.
        self._perhaps_fail("open")
        self.auth.check(token)
        return self._opened(OpenStream(self, interaction, configuration))

    @contextmanager
    def _opened(self, stream: "OpenStream") -> Iterator["OpenStream"]:
        self.open_streams += 1
        try:
            yield stream
        finally:
            self.open_streams -= 1

    def breaks(self, step: str, *failures: BaseException | None) -> None:
        """The next calls of this step fail like this."""
        self.outages.setdefault(step, deque()).extend(failures)

    def _perhaps_fail(self, step: str) -> None:
        waiting = self.outages.get(step)
        failure = waiting.popleft() if waiting else None
        if failure is not None:
            raise failure


class OpenStream:
    """Implements `Stream`."""

    def __init__(self, service: Service, interaction: Interaction, configuration: str) -> None:
        self._service = service
        self._interaction = interaction
        self._configuration = configuration
        self._seconds = 0.0
        self._audio = b""
        self._opened = service.clock.monotonic()
        self._first: float | None = None

    def converse(
        self,
        chunks: Iterator[Chunk],
        speed: float,
        *,
        live: bool,
        interrupt: AnyInterrupt,
        at_hand: bool = False,
    ) -> Iterator[Content | Sent]:
        self._service.fed_at_hand.append(at_hand)
        news = deque(self._service.says)
        for chunk in chunks:
            interrupt.check()
            self._service.during()
            self._audio += chunk.data
            self._seconds += chunk.seconds
            if self._first is None and news and isinstance(news[0], TranscriptMessage):
                self._first = self._service.clock.monotonic() - self._opened
            if live:
                yield Sent(self._seconds)
            if news:
                yield news.popleft()
            self._service._perhaps_fail("stream")
        if self._first is None and any(isinstance(one, TranscriptMessage) for one in news):
            self._first = self._service.clock.monotonic() - self._opened
        yield from news
        self._service.streamed.append((self._interaction.id, self._configuration, self._audio))

    def first_segment(self) -> float | None:
        return self._first

    def figures(self) -> tuple[AudioFigures, tuple[str, ...]]:
        return AudioFigures(seconds=self._seconds, bytes=len(self._audio)), ("stream error late",)


class World:
    """All of it, with a ledger, a broker and a worker in it."""

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
        self.auth = AuthServer()
        self.service = Service(self.auth, says=list(says), clock=self.clock)
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
        """A delivery with this body; the interrupt is for this one alone."""
        try:
            return self.deliveries.take(body, self.interrupt)
        finally:
            self.interrupt = FakeInterrupt(self.clock, self.waits)

    def nothing_is_left_open(self) -> bool:
        """Whether every stream and audio was closed again, and no claim is renewed any more."""
        return self.service.open_streams == self.library.open_now == 0 and not self.ledger.kept

    @contextmanager
    def _keep(self, claim: Claim, interrupt: Interrupt, until: float | None) -> Iterator[None]:
        """The lease renewer: renews the claim, and interrupts the job when its time is over."""
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
        """See `Caps`: a test says so."""
        return self.full_now

    @contextmanager
    def admitted(self, tenant: str | None, owner: str, interrupt: Interrupt) -> Iterator[None]:
        """See `Caps`: full for some seconds, or for good, or not."""
        assert owner in self.ledger.kept
        self.placed.append(tenant)
        if self.cap_reached:
            raise CapReached
        if self.full_for:
            interrupt.wait(self.full_for)
        yield
