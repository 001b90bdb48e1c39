"""Whether all channels of a recording hold the same sound: then each of them would be transcribed alike."""

from array import array
from collections.abc import Iterator

from worker.protocol.pace import Chunk

#: How much sound is compared. Silence does not count: it is alike on all channels.
ENOUGH_SECONDS = 10.0
#: The most audio that is looked at.
_MOST_SECONDS = 120.0
#: Samples below this are silence.
_LOUD = 300


def are_alike(chunks: Iterator[Chunk], channels: int) -> bool:
    """Compare the channels of 16-bit PCM from its beginning; False where there is no sound, too."""
    heard = looked = 0.0
    for chunk in chunks:
        samples = array("h", chunk.data)
        first = samples[::channels]
        if any(samples[channel::channels] != first for channel in range(1, channels)):
            return False
        looked += chunk.seconds
        if max(map(abs, first), default=0) >= _LOUD:
            heard += chunk.seconds
        if heard >= ENOUGH_SECONDS or looked >= _MOST_SECONDS:
            break
    return heard > 0
