"""Speech recognition: pocketsphinx with the English model from its wheel."""

from __future__ import annotations

import multiprocessing
import queue
import signal
import threading
from array import array
from collections import deque
from concurrent.futures import Future
from typing import TYPE_CHECKING

import av
import pocketsphinx

from ops.sandbox.stream.lines import placeholder
from ops.sandbox.stream.messages import Line

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection

    from ops.sandbox.audio.voice import Segment
    from ops.sandbox.stream.configuration import Configuration

_RATE = 16_000
#: Longer than the longest segment and the silence that ends it.
_MEMORY_SECONDS = 16.0
#: pocketsphinx needs a little audio before and after the words.
_MARGIN_SECONDS = 0.2
_PROCESSES = 2


class Recogniser:
    """Recognises the segments of all streams, two at a time.

    pocketsphinx holds the GIL while it works, for seconds on a long segment. It therefore runs in separate
    processes. Each process has a thread here that sends it samples and waits for the text.
    """

    def __init__(self) -> None:
        self._work: queue.SimpleQueue[tuple[Future[str], array[int], int]] = queue.SimpleQueue()
        context = multiprocessing.get_context("spawn")
        for number in range(_PROCESSES):
            ours, theirs = context.Pipe()
            # Process and thread are daemons, so that the server can stop during a recognition.
            context.Process(target=_work, args=(theirs,), name=f"recogniser-{number}", daemon=True).start()
            theirs.close()
            threading.Thread(target=self._serve, args=(ours,), daemon=True).start()

    def lines(self, configuration: Configuration, notify: Callable[[], None]) -> RecognisedLines:
        """Return the source of lines for one stream; ``notify`` is called when a segment is done."""
        return RecognisedLines(self, configuration, notify)

    def submit(self, samples: array[int], rate: int) -> Future[str]:
        """Recognise mono samples; the result is the text, empty when no word was found."""
        future: Future[str] = Future()
        self._work.put((future, samples, rate))
        return future

    def _serve(self, process: Connection) -> None:
        while True:
            future, samples, rate = self._work.get()
            try:
                process.send_bytes(resampled(samples, rate))
                future.set_result(process.recv())
            except (EOFError, OSError):
                # The process has died: send placeholders for its segments instead of blocking the stream.
                future.set_result("")


def _work(pipe: Connection) -> None:
    """Receive samples and send texts until the pipe is closed; runs in a separate process."""
    # Ctrl-C signals the whole process group; this process ends with the server instead.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    decoder = pocketsphinx.Decoder(samprate=_RATE, loglevel="FATAL")
    while True:
        try:
            samples = pipe.recv_bytes()
        except EOFError:
            return
        decoder.start_utt()
        decoder.process_raw(samples, full_utt=True)
        decoder.end_utt()
        hypothesis = decoder.hyp()
        pipe.send(hypothesis.hypstr if hypothesis else "")


class RecognisedLines:
    """The recognised lines of one stream, in the order of their segments."""

    wants_segments = True

    def __init__(
        self, recogniser: Recogniser, configuration: Configuration, notify: Callable[[], None]
    ) -> None:
        self._recogniser = recogniser
        self._separate = configuration.multichannel
        self._speaker = 0 if configuration.diarize else -1
        self._notify = notify
        self._waiting: deque[tuple[Segment, Future[str]]] = deque()
        self._memory: array[int] = array("h")
        self._forgotten = 0
        self._rate = _RATE
        self._channels = 1

    @property
    def idle(self) -> bool:
        """Whether the lines of all segments were taken."""
        return not self._waiting

    def hear(self, samples: array[int], *, rate: int, channels: int) -> None:
        """Keep the last 16 s of audio."""
        self._rate, self._channels = rate, channels
        self._memory += samples
        spare = len(self._memory) - int(_MEMORY_SECONDS * rate) * channels
        # Deleting in large pieces keeps the cost of moving memory low.
        if spare > len(self._memory) // 2:
            del self._memory[:spare]
            self._forgotten += spare

    def segment(self, segment: Segment) -> None:
        """Start the recognition of a segment."""
        future = self._recogniser.submit(self._cut_out(segment), self._rate)
        self._waiting.append((segment, future))
        future.add_done_callback(lambda _: self._notify())

    def finish(self) -> None:
        """Do nothing: no segment is held back."""

    def take(self) -> list[Line]:
        """Return the recognised lines up to the first segment that is not recognised yet."""
        ready = []
        while self._waiting and self._waiting[0][1].done():
            segment, future = self._waiting.popleft()
            text = future.result() or placeholder(segment)
            ready.append(Line(text, segment.start, segment.end, segment.channel, self._speaker))
        return ready

    def _cut_out(self, segment: Segment) -> array[int]:
        first = max(0.0, segment.start - _MARGIN_SECONDS) * self._rate
        start = max(0, int(first) * self._channels - self._forgotten)
        end = int((segment.end + _MARGIN_SECONDS) * self._rate) * self._channels - self._forgotten
        piece = self._memory[start:end]
        if self._channels == 1:
            return piece
        if self._separate:
            return piece[segment.channel :: self._channels]
        columns = [piece[channel :: self._channels] for channel in range(self._channels)]
        return array("h", (sum(frame) // self._channels for frame in zip(*columns, strict=True)))


def resampled(samples: array[int], rate: int) -> bytes:
    """Resample mono samples to the model's 16 kHz; return the bytes of 16-bit samples."""
    if rate == _RATE:
        return samples.tobytes()
    frame = av.AudioFrame(format="s16", layout="mono", samples=len(samples))
    frame.sample_rate = rate
    frame.planes[0].update(samples.tobytes().ljust(frame.planes[0].buffer_size, b"\0"))
    resampler = av.AudioResampler(format="s16", layout="mono", rate=_RATE)
    frames = [*resampler.resample(frame), *resampler.resample(None)]
    return b"".join(bytes(one.planes[0])[: 2 * one.samples] for one in frames)
