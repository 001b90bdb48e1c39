"""The Corti service in memory: tokens, interactions and streams that follow the service's rules."""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field

from tests.fakes.time import FakeClock
from worker.concurrency.interrupt import Interrupt as AnyInterrupt
from worker.contract.errors import PermanentError, Reason, TokenRefused
from worker.contract.events import AudioFigures
from worker.contract.job import Job
from worker.jobs.ports import Interaction, Sent
from worker.protocol.messages import TranscriptMessage
from worker.protocol.pace import Chunk
from worker.protocol.session import Content
from worker.protocol.token import Token


class FakeTokens:
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
        """Raise if the service refuses this token."""
        if token.value in self.revoked:
            raise TokenRefused("HTTP 401")


@dataclass
class FakeCorti:
    """Implements `Interactions` and `Streams`: refuses revoked tokens and repeated encounters.

    Attributes:
        outages: The errors of the next calls of each step, one for each call; None is a call that succeeds.
        says: The items that a stream yields, one after each chunk of audio and the rest at its end.
        during: Called for each chunk of audio.
    """

    auth: FakeTokens
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
        # The call itself connects, not the `with` statement, so a refused token must raise here.
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
        """Let the next calls of a step raise these errors."""
        self.outages.setdefault(step, deque()).extend(failures)

    def _perhaps_fail(self, step: str) -> None:
        waiting = self.outages.get(step)
        failure = waiting.popleft() if waiting else None
        if failure is not None:
            raise failure


class OpenStream:
    """Implements `Stream`."""

    def __init__(self, service: FakeCorti, interaction: Interaction, configuration: str) -> None:
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
