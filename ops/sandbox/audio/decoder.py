"""The interface between received bytes and samples, and its implementation for raw PCM."""

from __future__ import annotations

import sys
from array import array
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from ops.sandbox.audio.format import PcmFormat

_FLIP_SIGN = bytes(value ^ 0x80 for value in range(256))
_BYTE = 8


class AudioError(Exception):
    """Bytes that are not the audio they should be."""


class Decoder(Protocol):
    """Turns bytes into interleaved signed 16-bit samples, perhaps in another thread.

    What has been decoded waits until it is taken, so that the protocol stays the one who acts.
    """

    @property
    def rate(self) -> int:
        """Samples per second; known once the first samples can be taken."""

    @property
    def channels(self) -> int:
        """How many samples belong to one moment; known at the same time."""

    @property
    def idle(self) -> bool:
        """Whether all that was fed and can be decoded by now has been taken."""

    @property
    def finished(self) -> bool:
        """Whether ``finish`` was called and everything has been taken."""

    def feed(self, data: bytes) -> None:
        """Accept the next bytes."""

    def finish(self) -> None:
        """Say that no more bytes come."""

    def take(self) -> list[array[int]]:
        """Return the samples decoded since the last call.

        Raises:
            AudioError: the bytes cannot be decoded.
        """

    def close(self) -> None:
        """Let go of everything; harmless when repeated."""


class PcmDecoder:
    """Raw samples of any documented width, byte order and signedness, cut down to 16 bits.

    The upper two bytes of each sample are picked by slicing, which runs at C speed: a stream of 16 kHz,
    16 bit costs a copy and nothing else.
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
        """Whether all that was fed has been taken; a broken last sample does not count."""
        return not self._ready

    @property
    def finished(self) -> bool:
        """Whether no more samples can come."""
        return self._over and not self._ready

    def feed(self, data: bytes) -> None:
        """Accept the next bytes; a sample may be split between two chunks."""
        if self._rest:
            data = self._rest + data
        spare = len(data) % self._form.frame_bytes
        self._rest = data[len(data) - spare :] if spare else b""
        whole = data[: len(data) - spare] if spare else data
        if whole:
            self._ready.append(self._samples(whole))

    def finish(self) -> None:
        """Say that no more bytes come."""
        self._over = True

    def take(self) -> list[array[int]]:
        """Return the samples decoded since the last call."""
        ready, self._ready = self._ready, []
        return ready

    def close(self) -> None:
        """Nothing to let go of."""

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
