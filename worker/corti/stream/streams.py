"""Opens streams and converses on them from a job's thread. Implements the `Streams` and `Stream` ports."""

import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import partial

from worker.clock import Clock
from worker.concurrency.interrupt import Interrupt
from worker.contract.errors import Reason
from worker.contract.events import AudioFigures
from worker.corti.stream.conversation import Conversation
from worker.corti.stream.feed import NEVER, Feed, Feeder, chunks_ahead
from worker.corti.stream.handshake import connect
from worker.corti.stream.pacer import Pacer
from worker.corti.stream.shared_state import REPORT_SECONDS
from worker.jobs.ports import Interaction, Sent
from worker.protocol.pace import Chunk, Pace
from worker.protocol.session import Content, Session, Timings
from worker.protocol.token import Token
from worker.telemetry import catalogue
from worker.telemetry.recorder import Recorder


class WebSocketStreams:
    """Opens streams.

    Args:
        pacer: Moves their audio.
        feeder: Feeds those whose audio is at hand.
        timings: How long a session waits for what.
        context: TLS settings, shared.
        connect_timeout: Seconds for each step of a connection.
        simultaneous: How many may be connecting at once, so that a burst of handshakes, which cost a
            millisecond of CPU each, cannot delay the audio of running streams.
        recorder: For metrics.
        clock: For time.
    """

    def __init__(
        self,
        pacer: Pacer,
        feeder: Feeder,
        *,
        timings: Timings,
        context: ssl.SSLContext | None,
        connect_timeout: float,
        simultaneous: int,
        recorder: Recorder,
        clock: Clock,
    ) -> None:
        self._pacer = pacer
        self._feeder = feeder
        self._timings = timings
        self._context = context
        self._connect_timeout = connect_timeout
        self._gate = threading.BoundedSemaphore(simultaneous)
        self._recorder = recorder
        self._clock = clock

    def open(self, interaction: Interaction, token: Token, configuration: str) -> "WebSocketStream":
        """See `worker.jobs.ports.Streams`."""
        with self._gate:
            started = self._clock.monotonic()
            sock = connect(interaction.stream_url, token, self._context, self._connect_timeout, self._clock)
            self._recorder.observe(catalogue.STREAM_OPEN_SECONDS, self._clock.monotonic() - started)
        conversation = Conversation(sock, Session(configuration, self._timings), self._pacer.figures.sent)
        self._pacer.attend(conversation)
        return WebSocketStream(conversation, self._pacer, self._feeder, self._recorder)


class WebSocketStream(AbstractContextManager["WebSocketStream"]):
    """One open stream, seen from the job's thread."""

    def __init__(self, conversation: Conversation, pacer: Pacer, feeder: Feeder, recorder: Recorder) -> None:
        self._conversation = conversation
        self._pacer = pacer
        self._feeder = feeder
        self._recorder = recorder
        self._feed: Feed | None = None
        self._forget: Callable[[], None] = lambda: None

    def __exit__(self, *_: object) -> None:
        """Leave the stream; the pacer closes its socket, and nobody reads the audio any more."""
        # Not done in `converse`: a generator that is dropped half-way ends only when it is collected, and
        # the source is closed before that.
        if self._feed is not None:
            self._feed.stop()
        self._forget()
        failure = self._conversation.session.failure
        reason = failure.reason if failure else "ended"
        if not self._conversation.done:
            reason = Reason.STREAM_INTERRUPTED
            self._conversation.abort()
            self._pacer.attend(self._conversation)
        self._recorder.count(catalogue.STREAMS_ENDED, reason=reason)

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
        conversation = self._conversation
        interrupt.on_trigger(conversation.wake)
        self._forget = partial(interrupt.forget, conversation.wake)
        first = next(chunks, None)
        ahead, low = chunks_ahead(first.seconds if first else 1.0, speed, at_hand=at_hand)
        feed = Feed(conversation, chunks, ahead, self._pacer.attend)
        self._feed = feed
        if feed.by_the_pacer:
            low = NEVER
        shared = self._feeder if at_hand else None
        # The first chunk is always fed here, because it is due now. It is fed before `begin`, because from
        # then on the pacer may take chunks from the source, and would send the second chunk first.
        if first:
            conversation.feed([first])
        del first  # this frame lives as long as the job, and would keep the chunk in memory
        conversation.begin(
            Pace(speed),
            low,
            partial(shared.low, feed) if shared else (lambda _: conversation.wake()),
            live=live,
            take=feed.take if feed.by_the_pacer else None,
        )
        if shared:
            # The job's thread does not read files: in a file system that hangs nobody could interrupt it.
            if not feed.by_the_pacer:
                shared.low(feed, dry=True)
        else:
            feed.fill()
        self._pacer.attend(conversation)
        reported = 0.0
        with shared.feeding(feed) if shared else nullcontext():
            while True:
                interrupt.check()
                feed.check()
                conversation.wait()
                if not shared:
                    feed.fill()
                done = conversation.done  # read before the messages are taken: the last come with the end
                yield from conversation.messages()
                if live and conversation.position >= reported + speed * REPORT_SECONDS:
                    reported = conversation.position
                    yield Sent(reported)
                if done:
                    break
        if conversation.session.failure is not None:
            raise conversation.session.failure

    def first_segment(self) -> float | None:
        """See `worker.jobs.ports.Stream`."""
        conversation = self._conversation
        return None if conversation.heard_at is None else conversation.heard_at - conversation.opened_at

    def figures(self) -> tuple[AudioFigures, tuple[str, ...]]:
        """See `worker.jobs.ports.Stream`."""
        conversation = self._conversation
        audio = AudioFigures(seconds=round(conversation.position, 3), bytes=conversation.bytes_sent)
        return audio, conversation.session.warnings
