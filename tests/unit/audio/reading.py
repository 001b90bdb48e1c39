"""An audio library with a single file, and functions that read it."""

import io
import json
import threading
from array import array
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, TypeVar, cast

import av
import pytest

from tests.recordings import RATE
from tests.unit.audio.sounds import blocks
from worker.audio.library import Library
from worker.audio.reading import Source, reader
from worker.audio.source import Sources
from worker.audio.spool import Spool
from worker.concurrency.interrupt import Interrupt
from worker.contract.audio import Audio
from worker.contract.errors import PermanentError
from worker.contract.job import Job, Transcription
from worker.jobs.audio import Audio as OpenAudio
from worker.protocol.pace import Chunk

T = TypeVar("T")


def job_of(audio: Audio, **transcription: Any) -> Job:
    """A job with this audio."""
    told = {"language": "en", **transcription}
    return Job(job_id="j", audio=audio, transcription=Transcription.model_validate_json(json.dumps(told)))


RAW = "audio/pcm; rate=16000; channels=1; bits=16"


class OneSource:
    """Sources with a single file; they record whether it was closed.

    Args:
        data: What can be read in order.
        served_as: What the server says the type is.
        at_hand: Whether reading never waits for a network.
        whole: The file, if its size is known and it can be read at any offset.
    """

    def __init__(
        self,
        data: Iterator[bytes],
        served_as: str | None,
        *,
        at_hand: bool = True,
        whole: bytes | None = None,
    ) -> None:
        self._data = data
        self._served_as = served_as
        self._at_hand = at_hand
        self._whole = whole
        self.open_now = False

    @contextmanager
    def open(self, _: Audio, interrupt: Interrupt, begin: Callable[[Source], T]) -> Iterator[T]:
        interrupt.check()
        self.open_now = True
        whole = self._whole
        try:
            yield begin(
                Source(
                    reader(self._data),
                    self._served_as,
                    at_hand=self._at_hand,
                    size=None if whole is None else len(whole),
                    read_at=None if whole is None else lambda offset, size: whole[offset : offset + size],
                )
            )
        finally:
            self.open_now = False


@dataclass(frozen=True)
class Heard:
    """What became of audio."""

    format: str | None
    total_seconds: float | None
    chunks: list[Chunk]
    warnings: tuple[str, ...]
    source_format: str
    sent_format: str

    @property
    def seconds(self) -> float:
        """How long the chunks last."""
        return sum(chunk.seconds for chunk in self.chunks)


def library_of(sources: object, **options: Any) -> Library:
    """A library of these sources, with what a worker has beside them."""
    return Library(
        cast("Sources", sources),
        **{
            "chunk_seconds": 0.25,
            "max_seconds": 60,
            "wav_as": "pcm",
            "spool": Spool(None, 1 << 30),
            "turn": threading.BoundedSemaphore(2),
            **options,
        },
    )


def heard_of(audio: OpenAudio) -> Heard:
    """What becomes of opened audio."""
    chunks = list(audio.chunks())
    return Heard(
        audio.format, audio.total_seconds, chunks, audio.warnings(), audio.source_format, audio.sent_format
    )


def hear(
    data: bytes | Iterator[bytes],
    *,
    size: int = 1000,
    served_as: str | None = None,
    wav_as: Literal["pcm", "wav"] = "pcm",
    max_seconds: float = 60,
    known_size: bool = False,
    name: str = "a",
    convert: bool = False,
    transcription: dict[str, Any] | None = None,
    **told: Any,
) -> Heard:
    """Open this data as a job's audio, and take it to its end."""
    whole = data if known_size and isinstance(data, bytes) else None
    source = OneSource(blocks(data, size) if isinstance(data, bytes) else data, served_as, whole=whole)
    library = library_of(source, max_seconds=max_seconds, wav_as=wav_as)
    job = job_of(
        Audio.model_validate_json(json.dumps({"uri": f"file:///{name}", **told})), **transcription or {}
    )
    with library.open(job, Interrupt(), convert=convert) as audio:
        heard = heard_of(audio)
        held = source.open_now
    assert (held, source.open_now) == (True, False)
    return heard


def read(data: bytes | Iterator[bytes], **how: Any) -> tuple[str | None, list[Chunk]]:
    """How this data is declared, and its chunks."""
    heard = hear(data, **how)
    return heard.format, heard.chunks


def sent(chunks: list[Chunk]) -> bytes:
    """The bytes that are sent to the service."""
    return b"".join(chunk.data for chunk in chunks)


def refused(data: bytes, **how: Any) -> PermanentError:
    """Read data that must be refused; return the error."""
    with pytest.raises(PermanentError) as caught:
        read(data, **how)
    return caught.value


def onsets(heard: Heard) -> list[float]:
    """When the sounds begin in what was sent."""
    form, options = None, {}
    if str(heard.format).startswith("audio/pcm"):
        said = dict(part.strip().split("=") for part in str(heard.format).split(";")[1:])
        form = {"8": "u8", "16": "s16le", "24": "s24le", "32": "s32le"}[said["bits"]]
        options = {"sample_rate": said["rate"], "ch_layout": f"{said['channels']}c"}
    samples, channels = array("h"), 1
    resampler = None
    with av.open(io.BytesIO(sent(heard.chunks)), format=form, options=options) as container:
        for frame in container.decode(audio=0):
            resampler = resampler or av.AudioResampler(format="s16", layout=frame.layout.name, rate=RATE)
            for one in resampler.resample(frame):
                channels = one.layout.nb_channels
                samples.frombytes(bytes(one.planes[0])[: 2 * channels * one.samples])
    step = channels * RATE // 20
    loud = [max(map(abs, samples[at : at + step]), default=0) > 1500 for at in range(0, len(samples), step)]
    return [at / 20 for at, now in enumerate(loud) if now and not any(loud[max(0, at - 8) : at])]
