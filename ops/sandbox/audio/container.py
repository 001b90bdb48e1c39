"""Decode containers while they arrive: Ogg, WebM, MP3, FLAC, MP4 (PROTOCOL.md 5).

libavformat pulls bytes and blocks until it has them, so every such stream gets a thread that reads from a
pipe-like object. What was decoded is handed over through a queue; ``notify`` tells the event loop to look.
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

#: Plenty for speech, and what the service recommends (PROTOCOL.md 5).
RATE = 16_000
# Without these libavformat would wait for megabytes or seconds before the first sample.
_OPTIONS = {"probesize": "4096", "analyzeduration": "0"}
_AVIO_BUFFER = 4096


class _Pipe:
    """The file-like object that libavformat reads from; it cannot seek, as a stream cannot."""

    def __init__(self, starving: Callable[[], None]) -> None:
        self._condition = threading.Condition()
        self._starving = starving
        self._data = bytearray()
        self._over = False
        self.hungry = False

    def write(self, data: bytes) -> None:
        with self._condition:
            self._data += data
            self.hungry = False
            self._condition.notify()

    def finish(self) -> None:
        with self._condition:
            self._over = True
            self._condition.notify()

    def read(self, size: int) -> bytes:
        with self._condition:
            while not self._data and not self._over:
                # A flush waits for this moment: all that was fed has been decoded as far as it goes.
                self.hungry = True
                self._starving()
                self._condition.wait()
            piece = bytes(self._data[:size])
            del self._data[:size]
            return piece


class ContainerDecoder:
    """Decodes one container stream to 16 kHz samples in a thread of its own."""

    def __init__(self, *, name: str, separate: bool, notify: Callable[[], None]) -> None:
        """Start the thread.

        Args:
            name: The container, as libavformat calls it.
            separate: Keep the channels apart instead of mixing them.
            notify: Called from the thread whenever there is something to take.
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
        """Whether the thread waits for more bytes and everything decoded was taken."""
        return (self._done or self._pipe.hungry) and not self._ready

    @property
    def finished(self) -> bool:
        """Whether the last sample was taken."""
        return self._over and self._done and not self._ready

    def feed(self, data: bytes) -> None:
        """Accept the next bytes."""
        self._pipe.write(data)

    def finish(self) -> None:
        """Say that no more bytes come."""
        self._over = True
        self._pipe.finish()

    def take(self) -> list[array[int]]:
        """Return the samples decoded since the last call.

        Raises:
            AudioError: the bytes are not what they should be; samples before the fault are returned first.
        """
        blocks = []
        while self._ready:
            blocks.append(self._ready.popleft())
        if not blocks and self._error is not None:
            raise self._error
        return blocks

    def close(self) -> None:
        """End the thread, whatever it waits for."""
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
    """Nobody listens any more."""
