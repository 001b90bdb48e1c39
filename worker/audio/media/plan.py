"""Decides how a sound track goes to the service, and whether its channels are those of the job. Pure."""

from enum import Enum

from worker.audio.media.formats import PACKAGES, TAKEN
from worker.audio.media.track import Format
from worker.contract.audio import Audio
from worker.contract.errors import PermanentError, Reason
from worker.contract.job import Transcription

#: Most channels that the service takes (PROTOCOL.md 5).
MOST_CHANNELS = 8
#: Shorter audio holds no word. Seconds.
SHORTEST = 0.1


class Way(Enum):
    """How a sound track goes to the service."""

    #: The file's bytes as they are.
    PASS = "as it is"  # noqa: S105  # no password
    #: The track's packets in another container.
    REPACKAGE = "repackaged"
    #: Decoded, as PCM.
    CONVERT = "converted"


def way(format: Format, *, in_order: bool, joined: bool, convert: bool) -> Way:  # noqa: A002
    """How a track goes to the service.

    Args:
        format: The track's.
        in_order: Whether the service could read its container from front to back.
        joined: Whether the file consists of several, one behind the other.
        convert: Whether the track must be decoded, because the job picks channels, for example.
    """
    packed = format.codec in PACKAGES and format.packable
    # The parts of joined Vorbis files have different code books; one header cannot serve all of them.
    if convert or not packed or (joined and format.codec == "vorbis"):
        return Way.CONVERT
    if (format.demuxer, format.codec) in TAKEN and format.alone and in_order and not joined:
        return Way.PASS
    return Way.REPACKAGE


def check_channels(there: int, audio: Audio, transcription: Transcription) -> None:
    """Compare the audio's channels with what the job says of them.

    Args:
        there: How many the audio has.
        audio: Of the job; may pick channels.
        transcription: Of the job.

    Raises:
        PermanentError: `audio_channels`.
    """
    has = f"the audio has {there} channel{'' if there == 1 else 's'}"
    if audio.mix:
        there, has = 1, "audio.mix makes one channel of all"
    elif audio.channels:
        if max(audio.channels) >= there:
            raise _refused(
                f"{has}, counted from 0, and audio.channels asks for channel {max(audio.channels)}"
            )
        there = len(audio.channels)
        has = f"audio.channels picks {there}"
    if there > MOST_CHANNELS:
        raise _refused(f"{has}; the service takes at most {MOST_CHANNELS}: pick some with audio.channels")
    if transcription.multichannel and there == 1:
        raise _refused(f"{has}, and transcription.multichannel asks for one transcript for each of several")
    numbers = [participant.channel for participant in transcription.participants]
    if max(numbers) >= there:
        raise _refused(f"{has}, counted from 0, and transcription.participants names channel {max(numbers)}")
    if len(set(numbers)) < len(numbers):
        raise _refused(
            f"{has}, and transcription.participants names one of them twice: give each participant a "
            "channel, or one participant the role multiple"
        )


def check_length(seconds: float, longest: float) -> None:
    """Refuse audio that is shorter than a word, or longer than allowed.

    Raises:
        PermanentError: `audio_too_short` or `audio_too_long`.
    """
    if seconds < SHORTEST:
        raise PermanentError(
            Reason.AUDIO_TOO_SHORT, f"the audio lasts less than {SHORTEST:g} s: no word can be in it"
        )
    if seconds > longest:
        raise PermanentError(
            Reason.AUDIO_TOO_LONG,
            f"the audio lasts longer than {longest:g} s (CORTI_WORKER_AUDIO_MAX_SECONDS)",
        )


def _refused(detail: str) -> PermanentError:
    return PermanentError(Reason.AUDIO_CHANNELS, detail)
