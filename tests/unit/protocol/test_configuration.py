"""The `config` message for every option of a job."""

import json
from typing import Any

import pytest

from tests.unit.examples import FULL, job
from worker.contract.job import Job
from worker.protocol.messages import END, configuration


def configured(wanted: Job, audio_format: str | None = None) -> dict[str, Any]:
    """The configuration in the message for a job."""
    message = json.loads(configuration(wanted, audio_format))
    assert message.keys() == {"type", "configuration"}
    assert message["type"] == "config"
    value: dict[str, Any] = message["configuration"]
    return value


def test_the_smallest_job_sends_what_the_quick_start_sends() -> None:
    assert configured(job()) == {
        "transcription": {
            "primaryLanguage": "en",
            "diarize": False,
            "isDiarization": False,
            "isMultichannel": False,
            "participants": [{"channel": 0, "role": "multiple"}],
        },
        "mode": {"type": "facts", "outputLocale": "en", "factGenerationInterval": "fixed"},
    }


def test_a_full_job_sends_everything_where_it_belongs() -> None:
    assert configured(Job.from_message(json.dumps(FULL).encode()), "audio/ogg") == {
        "transcription": {
            "primaryLanguage": "da-DK",
            "diarize": True,
            "isDiarization": True,
            "isMultichannel": True,
            "participants": [{"channel": 0, "role": "doctor"}, {"channel": 1, "role": "patient"}],
        },
        "mode": {"type": "facts", "outputLocale": "en-US", "factGenerationInterval": "fast_init"},
        "retentionPolicy": "none",
        "audioFormat": "audio/ogg",
        "keyterms": {"terms": [{"term": "meniscus"}, {"term": "ibuprofen"}]},
        "replacements": [{"find": "new paragraph", "replace": ""}],
    }


def test_a_transcription_has_a_locale_but_no_interval_of_facts() -> None:
    wanted = job(output={"mode": "transcription", "fact_interval": "fast_init"})
    assert configured(wanted)["mode"] == {"type": "transcription", "outputLocale": "en"}


@pytest.mark.parametrize(("locale", "sent"), [(None, "en"), ("de-CH", "de-CH")])
def test_facts_are_written_in_the_spoken_language_unless_told_otherwise(
    locale: str | None, sent: str
) -> None:
    assert configured(job(output={"locale": locale}))["mode"]["outputLocale"] == sent


@pytest.mark.parametrize("retention", ["retain", "none"])
def test_retention_is_sent_only_when_asked_for(retention: str) -> None:
    assert configured(job(output={"retention": retention}))["retentionPolicy"] == retention
    assert "retentionPolicy" not in configured(job())


def test_undeclared_audio_is_left_to_the_service() -> None:
    assert "audioFormat" not in configured(job(), None)
    assert configured(job(), "audio/pcm; rate=8000; channels=1; bits=8")["audioFormat"].startswith(
        "audio/pcm;"
    )


def test_text_of_any_script_is_sent_unescaped() -> None:
    wanted = job(transcription={"language": "ja", "keyterms": ["半月板"]})
    assert "半月板" in configuration(wanted, None)


def test_the_end_message_has_a_type_only() -> None:
    assert json.loads(END) == {"type": "end"}
