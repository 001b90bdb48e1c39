"""Streams to a sandbox, opened and used as a job does it."""

import hashlib
import io
import math
from array import array
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import pytest

from tests.contract.corti_side import CortiSide, make_job
from tests.contract.secrecy import assert_silent
from tests.contract.waiting import eventually
from worker.clock import SystemClock
from worker.concurrency.heartbeat import Heartbeat
from worker.concurrency.interrupt import Interrupt
from worker.contract.errors import JobError
from worker.contract.events import Fact, HeardSegment
from worker.corti.stream import AdmissionGate, Feeder, Pacer, WebSocketStreams
from worker.corti.stream.streams import WebSocketStream
from worker.jobs.ports import Interaction, Sent
from worker.protocol import messages
from worker.protocol.messages import FactsMessage, TranscriptMessage, Usage
from worker.protocol.pace import Chunk, PcmChunks
from worker.protocol.session import Content, Timings

RATE = 16_000
PCM = f"audio/pcm; rate={RATE}; channels=1; bits=16"
CHUNK_SECONDS = 0.25
#: Times real time: so high that audio is sent without waiting.
FAST = 1000.0
PROMPT = Timings(config=5.0, ping=5.0, pong=5.0, end=5.0)


@cache
def speech(sentences: int = 1) -> bytes:
    """Sentences of one second of sound and one of silence; the sound never repeats."""
    sound = array("h", (round(8000 * math.sin(n * n / 9e4)) for n in range(RATE)))
    return (sound.tobytes() + bytes(2 * RATE)) * sentences


def chunks_of(audio: bytes) -> Iterator[Chunk]:
    """The chunks of PCM audio."""
    return PcmChunks(io.BytesIO(audio).read, 2 * RATE, 2, CHUNK_SECONDS)


@dataclass
class Heard:
    """The items that one conversation yielded, in order."""

    items: list[Content | Sent] = field(default_factory=list)
    warnings: tuple[str, ...] = ()
    seconds: float = 0.0
    bytes: int = 0

    @property
    def segments(self) -> list[HeardSegment]:
        return [one for item in self.items if isinstance(item, TranscriptMessage) for one in item.segments]

    @property
    def facts(self) -> list[Fact]:
        return [one for item in self.items if isinstance(item, FactsMessage) for one in item.facts]

    @property
    def usage(self) -> list[Usage]:
        return [item for item in self.items if isinstance(item, Usage)]

    @property
    def positions(self) -> list[float]:
        return [item.seconds for item in self.items if isinstance(item, Sent)]


class CountingHeartbeat(Heartbeat):
    """Counts its beats."""

    beats = 0

    def beat(self) -> None:
        super().beat()
        self.beats += 1


class Studio:
    """A pacer, with methods to open streams on it.

    Args:
        side: The adapters for the sandbox.
        timings: How long a session waits.
        simultaneous: How many streams may connect at once.
        connect_timeout: Seconds for each step of a connection.
        at_hand: Whether the shared feeder thread reads the audio.
    """

    def __init__(
        self,
        side: CortiSide,
        timings: Timings = PROMPT,
        simultaneous: int = 4,
        connect_timeout: float = 5.0,
        at_hand: bool = True,
    ) -> None:
        self.side = side
        self.at_hand = at_hand
        self.recorder = side.recorder
        self.heartbeat = CountingHeartbeat(SystemClock())
        self.pacer = Pacer(SystemClock(), self.heartbeat, AdmissionGate())
        self.feeder = Feeder(Heartbeat(SystemClock()))
        self.streams = WebSocketStreams(
            self.pacer,
            self.feeder,
            timings=timings,
            context=side.context,
            connect_timeout=connect_timeout,
            simultaneous=simultaneous,
            recorder=self.recorder,
            clock=SystemClock(),
        )
        self.token = side.token()
        self._interactions = side.interactions()

    def interaction(self) -> Interaction:
        """A new interaction."""
        return self._interactions.create(make_job(), self.token)

    def open(self, interaction: Interaction | None = None, **output: Any) -> WebSocketStream:
        """Open a stream; `output` as in a job."""
        job = make_job(output={"mode": "transcription", **output})
        return self.streams.open(
            interaction or self.interaction(), self.token, messages.configuration(job, PCM)
        )

    def talk(
        self,
        chunks: Iterable[Chunk] | None = None,
        *,
        speed: float = FAST,
        live: bool = False,
        interaction: Interaction | None = None,
        interrupt: Interrupt | None = None,
        at_hand: bool | None = None,
        **output: Any,
    ) -> Heard:
        """Hold one conversation to its end."""
        heard = Heard()
        with self.open(interaction, **output) as stream:
            audio = chunks_of(speech()) if chunks is None else iter(chunks)
            conversation = stream.converse(
                audio,
                speed,
                live=live,
                interrupt=interrupt or Interrupt(),
                at_hand=self.at_hand if at_hand is None else at_hand,
            )
            heard.items.extend(conversation)
            figures, heard.warnings = stream.figures()
        heard.seconds, heard.bytes = figures.seconds, figures.bytes
        return heard

    def record(self, interaction: Interaction) -> dict[str, Any]:
        """The sandbox's record of the only stream of an interaction."""
        (record,) = [
            one for one in self.side.sandbox.stats()["streams"] if one["interaction_id"] == interaction.id
        ]
        assert isinstance(record, dict)
        return record


@contextmanager
def studio(side: CortiSide, **options: Any) -> Iterator[Studio]:
    """A studio whose pacer runs."""
    made = Studio(side, **options)
    with made.feeder, made.pacer:
        yield made


def sha256(data: bytes) -> str:
    """SHA-256 of audio, as in the sandbox's records."""
    return hashlib.sha256(data).hexdigest()


def talk_failure(room: Studio, **options: Any) -> JobError:
    """Hold a conversation, which must fail, leave no socket open, and show no secret; return the error."""
    with pytest.raises(JobError) as failure:
        room.talk(**options)
    assert_silent(failure.value, room.token.value)
    eventually(lambda: room.pacer.open_streams == 0)
    return failure.value
