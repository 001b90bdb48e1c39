"""Roles of segments, and the transcript as text for people to read."""

from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.examples import heard, segment
from worker.contract.events import Segment
from worker.contract.job import Participant, Role, Transcription
from worker.protocol.speakers import Roles, plain_text

DOCTOR, PATIENT = Participant(channel=0, role="doctor"), Participant(channel=1, role="patient")


def roles(
    *participants: Participant, multichannel: bool = True, channels: Sequence[int] = (0, 1)
) -> list[str]:
    """The roles of a segment on each of the channels; `-` where there is none."""
    wanted = Transcription(language="en", multichannel=multichannel, participants=participants)
    given = Roles(wanted).give([heard("w", 0, 1, channel=channel) for channel in channels])
    return [one.role or "-" for one in given]


def said(*lines: tuple[str, Role | None, int, int | None]) -> str:
    """The text of segments: each has words, role, channel and speaker."""
    return plain_text(
        segment(text, at, at + 1, role=role, channel=channel, speaker=speaker)
        for at, (text, role, channel, speaker) in enumerate(lines)
    )


def test_a_segment_has_the_role_of_the_participant_of_its_channel() -> None:
    assert roles(DOCTOR, PATIENT) == ["doctor", "patient"]
    assert roles(PATIENT, DOCTOR) == ["doctor", "patient"]


def test_a_channel_without_a_participant_has_no_role() -> None:
    assert roles(DOCTOR, channels=(0, 1, -1)) == ["doctor", "-", "-"]
    assert roles(PATIENT) == ["-", "patient"]


def test_a_channel_of_several_participants_is_of_multiple_ones() -> None:
    assert roles(DOCTOR, Participant(channel=0, role="patient"), PATIENT) == ["multiple", "patient"]
    assert roles(DOCTOR, DOCTOR) == ["multiple", "-"]
    assert roles(DOCTOR, DOCTOR, DOCTOR) == ["multiple", "-"]


def test_in_mixed_channels_nobodys_words_are_put_down_to_the_first_participant() -> None:
    assert roles(DOCTOR, PATIENT, multichannel=False) == ["multiple", "multiple"]


def test_in_mixed_channels_one_participant_is_all_that_is_heard() -> None:
    assert roles(DOCTOR, multichannel=False, channels=(0, -1)) == ["doctor", "doctor"]
    assert roles(PATIENT, multichannel=False, channels=(0,)) == ["patient"]


def test_a_job_that_names_no_participants_has_one_channel_of_multiple_ones() -> None:
    (one,) = Roles(Transcription(language="en")).give([heard("w", 0, 1)])
    assert one.role == "multiple"


def test_everything_else_of_a_segment_stays_as_it_was() -> None:
    before = heard("it hurts", 0.5, 1.75, channel=1, speaker=3, final=False)
    (after,) = Roles(Transcription(language="en", multichannel=True, participants=(PATIENT,))).give([before])
    assert after == segment("it hurts", 0.5, 1.75, channel=1, speaker=3, final=False, role="patient")


def test_a_turn_is_a_line_and_has_the_segments_of_one_voice_that_follow_each_other() -> None:
    assert said(
        ("Where does it hurt?", "doctor", 0, None),
        ("Here.", "patient", 1, None),
        ("And here.", "patient", 1, None),
        ("I see.", "doctor", 0, None),
    ) == ("doctor: Where does it hurt?\npatient: Here. And here.\ndoctor: I see.")


def test_a_numbered_speaker_has_turns_whatever_the_role() -> None:
    assert said(("a", "multiple", 0, 1), ("b", "multiple", 0, 1), ("c", None, 1, 2), ("d", None, 1, 2)) == (
        "speaker 1: a b\nspeaker 2: c d"
    )


@pytest.mark.parametrize(("role", "label"), [("multiple", "multiple"), (None, "channel 3")])
def test_segments_of_people_who_are_not_told_apart_are_a_line_each(role: Role | None, label: str) -> None:
    question, answer = ("Does it hurt?", role, 3, None), ("Yes.", role, 3, None)
    assert said(question, answer) == f"{label}: Does it hurt?\n{label}: Yes."


def test_where_nothing_was_said_there_is_no_text() -> None:
    assert said() == ""
    assert said(("", "doctor", 0, None), (" \n ", "patient", 1, None)) == ""


@pytest.mark.parametrize(
    ("role", "speaker", "label"),
    [
        ("doctor", None, "doctor"),
        ("doctor", 2, "doctor"),
        ("multiple", None, "multiple"),
        ("multiple", 2, "speaker 2"),
        (None, 2, "speaker 2"),
        (None, 0, "speaker 0"),
        (None, None, "channel 3"),
    ],
)
def test_a_label_is_as_short_as_it_can_be(role: Role | None, speaker: int | None, label: str) -> None:
    assert said(("Hm.", role, 3, speaker)) == f"{label}: Hm."


@pytest.mark.parametrize(
    ("one", "other", "labels"),
    [
        (
            ("doctor", 0, 0),
            ("doctor", 0, 1),
            ["doctor, channel 0, speaker 0", "doctor, channel 0, speaker 1"],
        ),
        (("doctor", 0, 0), ("doctor", 0, None), ["doctor, channel 0, speaker 0", "doctor, channel 0"]),
        (("doctor", 0, None), ("doctor", 1, None), ["doctor, channel 0", "doctor, channel 1"]),
        (("multiple", 0, 1), (None, 1, 1), ["multiple, channel 0, speaker 1", "channel 1, speaker 1"]),
        (("multiple", 0, None), ("multiple", 1, None), ["multiple, channel 0", "multiple, channel 1"]),
        (("multiple", 0, 0), ("multiple", 0, 1), ["speaker 0", "speaker 1"]),
    ],
)
def test_voices_that_would_have_the_same_label_have_longer_ones(
    one: tuple[Role, int, int | None], other: tuple[Role | None, int, int | None], labels: list[str]
) -> None:
    text = said(("a", *one), ("b", *other), ("c", "patient", 7, None))
    assert text == f"{labels[0]}: a\n{labels[1]}: b\npatient: c"


def test_a_voice_without_words_neither_ends_a_turn_nor_makes_a_label_longer() -> None:
    assert said(("a", "doctor", 0, 0), (" ", "doctor", 0, 1), ("b", "doctor", 0, 0)) == "doctor: a b"


@pytest.mark.parametrize("line_break", ["\n", "\r\n", "\r", "\v", "\f", "\x1c", "\x85", "\u2028", "\u2029"])
def test_a_line_break_within_a_segment_makes_no_line(line_break: str) -> None:
    assert (
        said((f" It{line_break}patient: hurts{line_break}", "doctor", 0, None)) == "doctor: It patient: hurts"
    )


def test_other_spaces_stay_as_the_service_wrote_them() -> None:
    assert said(("\N{NO-BREAK SPACE}C'est\N{NO-BREAK SPACE}: ici ", "patient", 1, None)) == (
        "patient: C'est\N{NO-BREAK SPACE}: ici"
    )


words = st.text(st.sampled_from("ab \n\r\u2028:,é"), max_size=8)
#: One role for each channel, as it is in a job.
CHANNELS: list[Role | None] = ["doctor", "doctor", "patient", "multiple", None]
spoken = st.builds(
    lambda text, channel, speaker: segment(
        text, 0, 1, channel=channel, speaker=speaker, role=CHANNELS[channel]
    ),
    words,
    st.integers(0, 4),
    st.sampled_from([None, 0, 1]),
)


@given(st.lists(spoken, max_size=12))
def test_every_segments_words_are_in_the_text_once_and_in_order(segments: list[Segment]) -> None:
    lines = plain_text(segments).splitlines()
    read = [word for line in lines for word in line.partition(": ")[2].split()]
    assert read == [word for one in segments for word in one.text.split()]


@given(st.lists(spoken, max_size=12))
def test_a_label_belongs_to_one_voice_and_a_voice_has_one_label(segments: list[Segment]) -> None:
    numbered = [
        segment(f"{place}", 0, 1, channel=one.channel, speaker=one.speaker, role=one.role)
        for place, one in enumerate(segments)
    ]
    lines = [line.partition(": ") for line in plain_text(numbered).splitlines()]
    labels = {int(place): label for label, _, said in lines for place in said.split()}
    pairs = {(labels[place], one.channel, one.speaker) for place, one in enumerate(segments)}
    assert len(pairs) == len({pair[0] for pair in pairs}) == len({pair[1:] for pair in pairs})
    # What could be one turn is one.
    for (before, _, _), (after, _, words_after) in pairwise(lines):
        first = segments[int(words_after.split()[0])]
        known = first.role in {"doctor", "patient"} or first.speaker is not None
        assert before != after or not known
