"""Decode containers while they arrive: Ogg, WebM, MP3, FLAC, MP4 (PROTOCOL.md 5).

libavformat calls ``read`` and blocks until it has bytes, so each stream has a thread, which reads from a
``_Pipe``. Decoded samples are passed on in a queue; ``notify`` tells the event loop to take them.
"""

from __future__ import annotations

import threading
from array import array
from collections import deque
from typing import TYPE_CHECKING, Any

import av

from ops.sandbox.audio.decoder import AudioError

if TYPE_CHECKING:
    from collections.abc import Callable

#: Hz; enough for speech, and what the service recommends for PCM (PROTOCOL.md 5).
RATE = 16_000
# Without these options libavformat reads megabytes, or seconds of audio, before the first sample.
_OPTIONS = {"probesize": "4096", "analyzeduration": "0"}
_AVIO_BUFFER = 4096


class _Pipe:
    """The file-like object that libavformat reads from. It cannot seek, because later bytes are missing."""

    def __init__(self, on_wait: Callable[[], None]) -> None:
        self._condition = threading.Condition()
        self._on_wait = on_wait
        self._data = bytearray()
        self._over = False
        self.waiting = False

    def write(self, data: bytes) -> None:
        with self._condition:
            self._data += data
            self.waiting = False
            self._condition.notify()

    def finish(self) -> None:
        with self._condition:
            self._over = True
            self._condition.notify()

    def read(self, size: int) -> bytes:
        with self._condition:
            while not self._data and not self._over:
                # A flush waits for this state: everything decodable has been decoded.
                self.waiting = True
                self._on_wait()
                self._condition.wait()
            piece = bytes(self._data[:size])
            del self._data[:size]
            return piece


class ContainerDecoder:
    """Decodes one container stream to 16 kHz samples, in its own thread."""

    def __init__(self, *, name: str, separate: bool, notify: Callable[[], None]) -> None:
        """Start the thread.

        Args:
            name: libavformat's name of the container.
            separate: Keep the channels separate instead of mixing them.
            notify: Called in the thread when there are samples to take or the state has changed.
        """
        self.rate = RATE
        self.channels = 1
        self._separate = separate
        self._notify = notify
        self._pipe = _Pipe(lambda: self._notify())  # noqa: PLW0108 -- close() replaces the callback
        self._ready: deque[array[int]] = deque()
        self._error: AudioError | None = None
        self._over = False
        self._done = False
        threading.Thread(target=self._run, args=(name,), name="decoder", daemon=True).start()

    @property
    def idle(self) -> bool:
        """Whether the thread waits for bytes or has ended, and all decoded samples were taken."""
        return (self._done or self._pipe.waiting) and not self._ready

    @property
    def finished(self) -> bool:
        """Whether ``finish`` was called and the last sample was taken."""
        return self._over and self._done and not self._ready

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        self._pipe.write(data)

    def finish(self) -> None:
        """Declare the end of the bytes."""
        self._over = True
        self._pipe.finish()

    def take(self) -> list[array[int]]:
        """Return the samples decoded since the last call.

        Raises:
            AudioError: the bytes cannot be decoded; samples before the error are returned first.
        """
        blocks = []
        while self._ready:
            blocks.append(self._ready.popleft())
        if not blocks and self._error is not None:
            raise self._error
        return blocks

    def close(self) -> None:
        """Make the thread end, also while it waits for bytes."""
        self._notify = _ignore
        self._pipe.finish()

    def _run(self, name: str) -> None:
        try:
            self._decode(name)
        except AudioError as error:
            self._error = error
        except av.FFmpegError as error:
            self._error = AudioError(f"the {name} data cannot be decoded: {error.strerror or error}")
        except (ValueError, IndexError) as error:
            self._error = AudioError(f"the {name} data cannot be decoded: {error}")
        finally:
            self._done = True
            self._notify()

    def _decode(self, name: str) -> None:
        with av.open(
            self._pipe, mode="r", format=name, options=_OPTIONS, buffer_size=_AVIO_BUFFER
        ) as container:
            if not container.streams.audio:
                raise AudioError(f"the {name} data holds no audio")
            source: Any = container.streams.audio[0]
            resampler: Any = None
            for frame in container.decode(source):
                if resampler is None:
                    layout = frame.layout.name if self._separate else "mono"
                    self.channels = frame.layout.nb_channels if self._separate else 1
                    resampler = av.AudioResampler(format="s16", layout=layout, rate=RATE)
                self._hand_over(resampler.resample(frame))
            if resampler is not None:
                self._hand_over(resampler.resample(None))

    def _hand_over(self, frames: list[Any]) -> None:
        for frame in frames:
            size = frame.samples * self.channels * 2
            if size:
                self._ready.append(array("h", bytes(frame.planes[0])[:size]))
        if frames:
            self._notify()


def _ignore() -> None:
    """Do nothing: replaces ``notify`` after ``close``."""
