"""Choose a decoder by the first chunk, and decode WAV (PROTOCOL.md 5)."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from ops.sandbox.audio.container import ContainerDecoder
from ops.sandbox.audio.decoder import AudioError, Decoder, PcmDecoder
from ops.sandbox.audio.format import FormatError, PcmFormat, sniff

if TYPE_CHECKING:
    from array import array
    from collections.abc import Callable

_RIFF_HEADER, _CHUNK_HEADER, _FORMAT_BYTES = 12, 8, 16
_PCM, _EXTENSIBLE = 1, 0xFFFE
_LONGEST_HEADER = 65_536
_EIGHT_BITS = 8


class DetectingDecoder:
    """Detects the container in the first chunk and then uses the decoder for it."""

    def __init__(self, *, allowed: tuple[str, ...], separate: bool, notify: Callable[[], None]) -> None:
        """Make a decoder whose container is not known yet.

        Args:
            allowed: Containers that the declared format permits; empty permits all known containers.
            separate: Keep the channels separate instead of mixing them; WAV channels are always separate.
            notify: Called in the decoder's thread when there are samples to take or the state has changed.
        """
        self._allowed = allowed
        self._separate = separate
        self._notify = notify
        self._inner: Decoder | None = None
        self._error: AudioError | None = None
        self._over = False

    @property
    def rate(self) -> int:
        """Samples per second of each channel; 0 before the first chunk."""
        return self._inner.rate if self._inner else 0

    @property
    def channels(self) -> int:
        """Number of interleaved channels; 0 before the first chunk."""
        return self._inner.channels if self._inner else 0

    @property
    def idle(self) -> bool:
        """Whether everything that can be decoded from the bytes so far has been taken."""
        return self._inner is None or self._inner.idle

    @property
    def finished(self) -> bool:
        """Whether ``finish`` was called and the last sample was taken."""
        return self._over and (self._inner is None or self._inner.finished)

    def feed(self, data: bytes) -> None:
        """Take the next bytes; the first call decides on the decoder."""
        if self._inner is None and self._error is None:
            name = sniff(data)
            if name is None or (self._allowed and name not in self._allowed):
                expected = " or ".join(self._allowed) or "a known container"
                self._error = AudioError(
                    f"the first chunk is {name or 'not recognised'}, expected {expected}"
                )
            elif name == "wav":
                self._inner = WavDecoder()
            else:
                self._inner = ContainerDecoder(name=name, separate=self._separate, notify=self._notify)
        if self._inner is not None:
            self._inner.feed(data)

    def finish(self) -> None:
        """Declare the end of the bytes."""
        self._over = True
        if self._inner is not None:
            self._inner.finish()

    def take(self) -> list[array[int]]:
        """Return the samples decoded since the last call.

        Raises:
            AudioError: the first chunk is not an allowed container, or the bytes cannot be decoded.
        """
        if self._error is not None:
            raise self._error
        return self._inner.take() if self._inner else []

    def close(self) -> None:
        """End the decoder's thread, if there is one."""
        if self._inner is not None:
            self._inner.close()


class WavDecoder:
    """Reads the header of a WAV stream and passes the samples to ``PcmDecoder``.

    libavformat would delay the first seconds while it checks for DTS in the samples, and it needs a thread.
    """

    def __init__(self) -> None:
        self.rate = 0
        self.channels = 0
        self._header = b""
        self._pcm: PcmDecoder | None = None
        self._error: AudioError | None = None
        self._over = False

    @property
    def idle(self) -> bool:
        """Whether all complete samples were taken."""
        return self._pcm is None or self._pcm.idle

    @property
    def finished(self) -> bool:
        """Whether ``finish`` was called and all complete samples were taken."""
        return self._over and self.idle

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""
        if self._pcm is not None:
            self._pcm.feed(data)
            return
        self._header += data
        try:
            found = _read_header(self._header)
        except AudioError as error:
            self._error = error
            return
        if found is not None:
            form, start = found
            self.rate, self.channels = form.rate, form.channels
            self._pcm = PcmDecoder(form)
            self._pcm.feed(self._header[start:])
            self._header = b""

    def finish(self) -> None:
        """Declare the end of the bytes."""
        self._over = True

    def take(self) -> list[array[int]]:
        """Return the samples decoded since the last call.

        Raises:
            AudioError: the header is invalid or does not describe PCM.
        """
        if self._error is not None:
            raise self._error
        return self._pcm.take() if self._pcm else []

    def close(self) -> None:
        """Do nothing: there is no thread."""


def _read_header(data: bytes) -> tuple[PcmFormat, int] | None:
    """Return the format and the offset of the samples in bytes, or ``None`` if more bytes are needed.

    The length of the ``data`` chunk is ignored, because the writer of a stream cannot know it.

    Raises:
        AudioError: not PCM, or no valid header.
    """
    at, form = _RIFF_HEADER, None
    while len(data) >= at + _CHUNK_HEADER:
        name, size = struct.unpack_from("<4sI", data, at)
        at += _CHUNK_HEADER
        if name == b"data":
            if form is None:
                raise AudioError("the WAV data has no fmt chunk before its samples")
            return form, at
        if name == b"fmt ":
            if size < _FORMAT_BYTES:
                raise AudioError("the WAV data has a broken fmt chunk")
            if len(data) < at + _FORMAT_BYTES:
                return None
            form = _format(data, at)
        at += size + size % 2
    if at > _LONGEST_HEADER:
        raise AudioError("the WAV data has no samples in sight")
    return None


def _format(data: bytes, at: int) -> PcmFormat:
    tag, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", data, at)
    if tag not in (_PCM, _EXTENSIBLE):
        raise AudioError(f"the WAV data has format tag {tag}, not PCM")
    try:
        return PcmFormat.checked(rate=rate, channels=channels, bits=bits, unsigned=bits == _EIGHT_BITS)
    except FormatError as error:
        raise AudioError(f"the WAV data cannot be used: {error}") from error
