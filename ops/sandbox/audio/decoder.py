"""The interface of decoders, and the decoder for raw PCM."""

from __future__ import annotations

import sys
from array import array
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from ops.sandbox.audio.format import PcmFormat

_FLIP_SIGN = bytes(value ^ 0x80 for value in range(256))
_BYTE = 8


class AudioError(Exception):
    """The received bytes are not valid audio of the expected format."""


class Decoder(Protocol):
    """Decodes bytes to interleaved signed 16-bit samples, perhaps in another thread.

    Decoded samples wait until ``take``, so that only the event loop's thread processes them.
    """

    @property
    def rate(self) -> int:
        """Samples per second of each channel; valid once ``take`` has returned samples."""

    @property
    def channels(self) -> int:
        """Number of interleaved channels; valid once ``take`` has returned samples."""

    @property
    def idle(self) -> bool:
        """Whether everything that can be decoded from the bytes so far has been taken."""

    @property
    def finished(self) -> bool:
        """Whether ``finish`` was called and all samples were taken."""

    def feed(self, data: bytes) -> None:
        """Take the next bytes."""

    def finish(self) -> None:
        """Declare the end of the bytes."""

    def take(self) -> list[array[int]]:
        """Return the samples decoded since the last call.

        Raises:
            AudioError: the bytes cannot be decoded.
        """

    def close(self) -> None:
        """End the thread, if there is one; may be called more than once."""


class PcmDecoder:
    """Converts raw samples of any documented width, byte order and signedness to 16 bits.

    Slicing picks the upper two bytes of each sample, because it is fast. A signed 16-bit little-endian stream
    is only copied.
    """

    def __init__(self, form: PcmFormat) -> None:
        self.rate = form.rate
        self.channels = form.channels
        self._form = form
        self._rest = b""
        self._ready: list[array[int]] = []
        self._over = False

    @property
    def idle(self) -> bool:
        """Whether all complete samples were taken."""
        return not self._ready

    @property
    def finished(self) -> bool:
        """Whether ``finish`` was called and all complete samples were taken."""
        return self._over and not self._ready

    def feed(self, data: bytes) -> None:
        """Take the next bytes; a sample may be split between two chunks."""
        if self._rest:
            data = self._rest + data
        spare = len(data) % self._form.frame_bytes
        self._rest = data[len(data) - spare :] if spare else b""
        whole = data[: len(data) - spare] if spare else data
        if whole:
            self._ready.append(self._samples(whole))

    def finish(self) -> None:
        """Declare the end of the bytes."""
        self._over = True

    def take(self) -> list[array[int]]:
        """Return the samples decoded since the last call."""
        ready, self._ready = self._ready, []
        return ready

    def close(self) -> None:
        """Do nothing: there is no thread."""

    def _samples(self, data: bytes) -> array[int]:
        width = self._form.bits // _BYTE
        top = 0 if self._form.big_endian else width - 1
        if width == 1 or width > 2 or self._form.unsigned:  # noqa: PLR2004 -- bytes of a 16-bit sample
            high = data[top::width]
            pair = bytearray(2 * len(high))
            pair[1::2] = high.translate(_FLIP_SIGN) if self._form.unsigned else high
            if width > 1:
                pair[0::2] = data[(top + 1 if self._form.big_endian else top - 1) :: width]
            samples = array("h", bytes(pair))
            swap = sys.byteorder == "big"
        else:
            samples = array("h", data)
            swap = self._form.big_endian != (sys.byteorder == "big")
        if swap:
            samples.byteswap()
        return samples
