"""Choose a decoder by what the first chunk is (PROTOCOL.md 5)."""

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
    """Waits for the first chunk, then decodes with whatever fits it."""

    def __init__(self, *, allowed: tuple[str, ...], separate: bool, notify: Callable[[], None]) -> None:
        """Make a decoder that does not know its container yet.

        Args:
            allowed: Containers that the declared format permits; empty permits every known one.
            separate: Keep the channels apart instead of mixing them.
            notify: Called from a thread whenever there is something to take.
        """
        self._allowed = allowed
        self._separate = separate
        self._notify = notify
        self._inner: Decoder | None = None
        self._error: AudioError | None = None
        self._over = False

    @property
    def rate(self) -> int:
        """Return the rate of the samples that were taken."""
        return self._inner.rate if self._inner else 0

    @property
    def channels(self) -> int:
        """Return the channels of the samples that were taken."""
        return self._inner.channels if self._inner else 0

    @property
    def idle(self) -> bool:
        """Whether all that was fed has been decoded as far as it goes."""
        return self._inner is None or self._inner.idle

    @property
    def finished(self) -> bool:
        """Whether the last sample was taken."""
        return self._over and (self._inner is None or self._inner.finished)

    def feed(self, data: bytes) -> None:
        """Accept the next bytes; the first ones decide."""
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
        """Say that no more bytes come."""
        self._over = True
        if self._inner is not None:
            self._inner.finish()

    def take(self) -> list[array[int]]:
        """Return the samples decoded since the last call.

        Raises:
            AudioError: the bytes are not what they should be.
        """
        if self._error is not None:
            raise self._error
        return self._inner.take() if self._inner else []

    def close(self) -> None:
        """Let go of threads."""
        if self._inner is not None:
            self._inner.close()


class WavDecoder:
    """Reads the header of a WAV stream and leaves the samples to ``PcmDecoder``.

    libavformat would hold back the first seconds to find out whether the samples hide DTS; and a header of
    44 bytes needs no thread.
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
        """Whether all that was fed has been taken."""
        return self._pcm is None or self._pcm.idle

    @property
    def finished(self) -> bool:
        """Whether no more samples can come."""
        return self._over and self.idle

    def feed(self, data: bytes) -> None:
        """Accept the next bytes."""
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
        """Say that no more bytes come."""
        self._over = True

    def take(self) -> list[array[int]]:
        """Return the samples decoded since the last call.

        Raises:
            AudioError: the header is broken or describes something else than PCM.
        """
        if self._error is not None:
            raise self._error
        return self._pcm.take() if self._pcm else []

    def close(self) -> None:
        """Nothing to let go of."""


def _read_header(data: bytes) -> tuple[PcmFormat, int] | None:
    """Return the format and where the samples begin, or ``None`` when more bytes are needed.

    The length of the ``data`` chunk is not looked at: who writes a stream cannot know it.

    Raises:
        AudioError: no PCM, or no header at all.
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
