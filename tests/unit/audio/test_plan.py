"""How a sound track goes to the service."""

from dataclasses import replace

import pytest

from worker.audio.media.plan import SHORTEST, Way, check_length, way
from worker.audio.media.track import Format
from worker.contract.errors import PermanentError

OPUS = Format("ogg", "opus", 1, 48_000, 6.0, alone=True, packable=True)


def planned(form: Format, *, in_order: bool = True, joined: bool = False, convert: bool = False) -> Way:
    return way(form, in_order=in_order, joined=joined, convert=convert)


@pytest.mark.parametrize(
    ("demuxer", "codec", "expected"),
    [
        ("ogg", "opus", Way.PASS),
        ("ogg", "vorbis", Way.PASS),
        ("ogg", "speex", Way.CONVERT),
        ("ogg", "flac", Way.REPACKAGE),
        ("matroska", "opus", Way.PASS),
        ("matroska", "aac", Way.REPACKAGE),
        ("mp3", "mp3", Way.PASS),
        ("flac", "flac", Way.PASS),
        ("mov", "aac", Way.PASS),
        ("mov", "opus", Way.REPACKAGE),
        ("mov", "alac", Way.CONVERT),
        ("aac", "aac", Way.REPACKAGE),
        ("avi", "mp3", Way.REPACKAGE),
        ("asf", "wmav2", Way.CONVERT),
    ],
)
def test_what_the_service_takes_passes_and_the_rest_is_made_to_fit(
    demuxer: str, codec: str, expected: Way
) -> None:
    assert planned(replace(OPUS, demuxer=demuxer, codec=codec)) is expected


def test_pictures_and_a_wrong_order_are_left_behind_by_repackaging() -> None:
    assert planned(replace(OPUS, alone=False)) is Way.REPACKAGE
    assert planned(OPUS, in_order=False) is Way.REPACKAGE


def test_joined_files_are_made_one() -> None:
    assert planned(OPUS, joined=True) is Way.REPACKAGE
    assert planned(replace(OPUS, codec="vorbis"), joined=True) is Way.CONVERT


def test_what_cannot_be_described_elsewhere_is_converted() -> None:
    assert planned(replace(OPUS, demuxer="caf", packable=False)) is Way.CONVERT


def test_a_job_that_picks_channels_and_a_second_try_convert() -> None:
    assert planned(OPUS, convert=True) is Way.CONVERT


@pytest.mark.parametrize(("seconds", "reason"), [(SHORTEST / 2, "audio_too_short"), (61, "audio_too_long")])
def test_lengths_outside_of_the_limits_are_refused(seconds: float, reason: str) -> None:
    with pytest.raises(PermanentError) as refusal:
        check_length(seconds, 60)
    assert refusal.value.reason == reason


@pytest.mark.parametrize("seconds", [SHORTEST, 60])
def test_lengths_at_the_limits_are_accepted(seconds: float) -> None:
    check_length(seconds, 60)
