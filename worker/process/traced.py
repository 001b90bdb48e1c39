"""The ports of a job with a span around each call; put around them only where spans are recorded."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from typing import Self

from worker.concurrency.interrupt import Interrupt
from worker.contract.dead_letter import DeadLetter
from worker.contract.events import AudioFigures
from worker.contract.job import Job
from worker.jobs.claims import OutboxEntry
from worker.jobs.ports import Interaction, Interactions, Publisher, Sent, Stream, Streams, Tokens
from worker.protocol.messages import FactsMessage, TranscriptMessage, Usage
from worker.protocol.pace import Chunk
from worker.protocol.session import Content
from worker.protocol.token import Token
from worker.telemetry.trace import Tracer


@dataclass(frozen=True, slots=True)
class TracedTokens:
    """`Tokens` with spans."""

    inner: Tokens
    tracer: Tracer

    def get(self) -> Token:
        """See `worker.jobs.ports.Tokens`."""
        with self.tracer.span("token"):
            return self.inner.get()

    def refused(self, token: Token) -> None:
        """See `worker.jobs.ports.Tokens`."""
        self.tracer.note("token_refused")
        self.inner.refused(token)


@dataclass(frozen=True, slots=True)
class TracedInteractions:
    """`Interactions` with spans."""

    inner: Interactions
    tracer: Tracer

    def create(self, job: Job, token: Token) -> Interaction:
        """See `worker.jobs.ports.Interactions`."""
        with self.tracer.span("create_interaction", kind="client"):
            return self.inner.create(job, token)

    def find(self, job: Job, token: Token) -> Interaction | None:
        """See `worker.jobs.ports.Interactions`."""
        with self.tracer.span("find_interaction", kind="client"):
            return self.inner.find(job, token)


@dataclass(frozen=True, slots=True)
class TracedStreams:
    """`Streams` with a span for the connection and one for the conversation."""

    inner: Streams
    tracer: Tracer

    def open(
        self, interaction: Interaction, token: Token, configuration: str
    ) -> AbstractContextManager[Stream]:
        """See `worker.jobs.ports.Streams`."""
        with self.tracer.span("connect", kind="client"):
            return _TracedStream(self.inner.open(interaction, token, configuration), self.tracer)


class _TracedStream(AbstractContextManager["_TracedStream"]):
    """A stream with a span that lasts as long; the figures of the conversation are noted on it."""

    def __init__(self, opened: AbstractContextManager[Stream], tracer: Tracer) -> None:
        self._opened = opened
        self._tracer = tracer
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            stack.enter_context(self._tracer.span("stream", kind="client"))
            self._stream = stack.enter_context(self._opened)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *details: object) -> None:
        self._stack.__exit__(*details)  # type: ignore[arg-type]

    def converse(
        self,
        chunks: Iterator[Chunk],
        speed: float,
        *,
        live: bool,
        interrupt: Interrupt,
        at_hand: bool = False,
    ) -> Iterator[Content | Sent]:
        """See `worker.jobs.ports.Stream`."""
        transcripts, facts = 0, 0
        conversation = self._stream.converse(chunks, speed, live=live, interrupt=interrupt, at_hand=at_hand)
        for message in conversation:
            match message:
                case TranscriptMessage():
                    transcripts += 1
                case FactsMessage():
                    facts += 1
                case Usage():
                    self._tracer.note("usage", credits=message.credits or 0.0)
            yield message
        figures, warnings = self._stream.figures()
        self._tracer.note(
            "ended",
            transcripts=transcripts,
            facts=facts,
            audio_seconds=figures.seconds,
            audio_bytes=figures.bytes,
            warnings=len(warnings),
        )

    def first_segment(self) -> float | None:
        """See `worker.jobs.ports.Stream`."""
        return self._stream.first_segment()

    def figures(self) -> tuple[AudioFigures, tuple[str, ...]]:
        """See `worker.jobs.ports.Stream`."""
        return self._stream.figures()


@dataclass(frozen=True, slots=True)
class TracedPublisher:
    """`Publisher` with spans."""

    inner: Publisher
    tracer: Tracer
    queue: str

    def deliver(self, outbox_entry: OutboxEntry) -> None:
        """See `worker.jobs.ports.Publisher`."""
        with self.tracer.span(f"publish {self.queue}", kind="producer", type=outbox_entry.event_type):
            self.inner.deliver(outbox_entry)

    def publish_dead_letter(self, letter: DeadLetter) -> None:
        """See `worker.jobs.ports.Publisher`."""
        self.inner.publish_dead_letter(letter)
