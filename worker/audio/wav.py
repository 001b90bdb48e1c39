"""The header of a WAV file, read from its first bytes (RIFF; Microsoft's WAVEFORMATEX and -EXTENSIBLE).

Own code because the standard `wave` module of Python 3.11 refuses WAVE_FORMAT_EXTENSIBLE, which
multichannel recorders write, and wants to seek, which a download cannot.
"""

import struct
from dataclasses import dataclass

from worker.contract.errors import PermanentError, Reason

_PCM = 1
_HEADER_OF_DS64 = 16
_EXTENSIBLE = 0xFFFE
_MAX_HEADER = 1 << 20
_EXTENSIBLE_SIZE = 26
#: Sizes that writers leave in a header when they could not know the length.
_IN_DS64 = 0xFFFFFFFF
_UNKNOWN_SIZES = frozenset({0, 0xFFFFFFFF, 0x7FFFFFFF, 0xFFFFFFFF - 36})


@dataclass(frozen=True, slots=True)
class WavHeader:
    """Format and place of the samples.

    Attributes:
        rate: Samples per second.
        channels: Number of channels.
        bits: Bits per sample.
        data_offset: Where the samples start.
        data_size: Bytes of samples, or None when the header does not say.
        plain: Whether the samples are PCM that the service takes.
    """

    rate: int
    channels: int
    bits: int
    data_offset: int
    data_size: int | None
    plain: bool = True

    @property
    def align(self) -> int:
        """Bytes of one sample of all channels."""
        return self.channels * self.bits // 8

    @property
    def bytes_per_second(self) -> int:
        """Bytes of one second."""
        return self.rate * self.align

    @property
    def seconds(self) -> float | None:
        """How long the samples last, if the header says how many there are."""
        return None if self.data_size is None else self.data_size / self.bytes_per_second

    @property
    def audio_format(self) -> str:
        """The format as the service wants it declared (PROTOCOL.md 5). 8-bit WAV is unsigned, else signed."""
        encoding = "uint" if self.bits == 8 else "sint"  # noqa: PLR2004
        return (
            f"audio/pcm; rate={self.rate}; channels={self.channels}; bits={self.bits}; "
            f"endian=little; encoding={encoding}"
        )


def is_wav(head: bytes) -> bool:
    """Whether the first 12 bytes are those of a WAV file."""
    return head[:4] in {b"RIFF", b"RF64", b"BW64"} and head[8:12] == b"WAVE"


def read_header(head: bytes) -> WavHeader | None:
    """Read the header from the first bytes of a file.

    Returns:
        The header, or None when more bytes are needed.

    Raises:
        PermanentError: `audio_unsupported`, when the header is broken.
    """
    offset, form, long_size = 12, None, None
    while offset + 8 <= len(head):
        name, size = struct.unpack_from("<4sI", head, offset)
        body = offset + 8
        if name == b"data":
            if form is None:
                raise _unsupported("the WAV file has samples before their format")
            rate, channels, bits, plain = form
            known = long_size if size == _IN_DS64 and long_size is not None else size
            size_of_data = None if known in _UNKNOWN_SIZES else known
            return WavHeader(rate, channels, bits, body, size_of_data, plain)
        if name == b"ds64" and body + _HEADER_OF_DS64 <= len(head):
            # RF64 and BW64 (ITU-R BS.2088): the size of the samples as 64 bits.
            long_size = struct.unpack_from("<Q", head, body + 8)[0]
        if name == b"fmt ":
            if body + size > len(head):
                break
            form = _format(head[body : body + size])
        offset = body + size + size % 2
    if max(offset, len(head)) > _MAX_HEADER:
        raise _unsupported("the WAV file has no samples within its first MiB")
    return None


def _format(chunk: bytes) -> tuple[int, int, int, bool]:
    if len(chunk) < 16:  # noqa: PLR2004
        raise _unsupported("the WAV file's format chunk is too short")
    tag, channels, rate, _, align, bits = struct.unpack_from("<HHIIHH", chunk)
    if tag == _EXTENSIBLE and len(chunk) >= _EXTENSIBLE_SIZE:
        tag = struct.unpack_from("<H", chunk, 24)[0]
    # The service's ranges (PROTOCOL.md 5).
    in_range = 8000 <= rate <= 48000 and 1 <= channels <= 8 and bits in {8, 16, 24, 32}  # noqa: PLR2004
    return rate, channels, bits, tag == _PCM and in_range and align == channels * bits // 8


def _unsupported(detail: str) -> PermanentError:
    return PermanentError(Reason.AUDIO_UNSUPPORTED, detail)
