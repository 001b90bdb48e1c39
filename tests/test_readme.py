"""README.md and the pages that it links to agree with the code."""

import dataclasses
import hashlib
import html
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TypeGuard, get_args

import pytest
from pydantic import BaseModel

from worker.contract.dead_letter import DeadLetter
from worker.contract.errors import Reason
from worker.contract.events import Completed, Event, EventType, Fact, Failed, Segment
from worker.contract.job import Job, Role
from worker.jobs.transcribe import NO_SPEECH
from worker.protocol.speakers import plain_text
from worker.settings import markdown_table

ROOT = Path(__file__).resolve().parents[1]
PAGES = [
    *(ROOT / "ops" / "docs").glob("*.md"),
    *(
        ROOT / name
        for name in ("README.md", "worker/README.md", "ops/benchmarks/README.md", "ops/runbook.md")
    ),
]


def page(name: str) -> str:
    return (ROOT / "ops" / "docs" / name).read_text()


def test_the_settings_table_is_the_one_that_the_model_makes() -> None:
    shown = page("settings.md").partition("compared by a test -->\n")[2].partition("\n<!-- /settings -->")[0]
    assert shown == markdown_table(), "put the output of `corti-worker settings` into ops/docs/settings.md"


def test_every_reason_code_is_explained() -> None:
    table = page("integrate.md").partition("| reason | what happened |")[2].partition("\n\n")[0]
    assert set(re.findall(r"`([a-z_]+)`", table)) >= {reason.value for reason in Reason}


def fields(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Every key of a job as the page names it: nested keys with dots, except in lists and in `patient`."""
    for name, field in model.model_fields.items():
        inner = [kind for kind in (field.annotation, *get_args(field.annotation)) if is_model(kind)]
        if inner and name not in {"patient", "period", "participants", "replacements"}:
            yield from fields(inner[0], f"{prefix}{name}.")
        else:
            yield prefix + name


def is_model(kind: object) -> TypeGuard[type[BaseModel]]:
    return isinstance(kind, type) and issubclass(kind, BaseModel)


def test_every_key_of_a_job_and_every_type_of_event_is_explained() -> None:
    text = page("integrate.md")
    job = text.partition("## The job")[2].partition("## Sources")[0]
    named = set(re.findall(r"`([a-z0-9_.]+)`", "".join(re.findall(r"^\|[^|]*\|", job, re.MULTILINE))))
    assert named - {"key"} == set(fields(Job))
    events = text.partition("## Events")[2].partition("\n\nExactly one")[0]
    assert re.findall(r"^\| `([\w.]+)`", events, re.MULTILINE) == list(get_args(EventType))


def first_column(headline: str) -> list[str]:
    """What stands in backticks in the first column of the table of integrate.md that begins like this."""
    table = page("integrate.md").partition(f"{headline}\n|---|---|\n")[2].partition("\n\n")[0]
    return re.findall(r"`([^`]+)`", "".join(re.findall(r"^\|[^|]*\|", table, re.MULTILINE)))


def test_every_key_of_a_result_and_of_its_segments_and_facts_is_explained() -> None:
    assert sorted(first_column("| key of the result | value |")) == sorted(fields(Completed))
    keys = [field.name for field in dataclasses.fields(Segment)]
    assert first_column("| key of a segment | value |") == keys
    told = page("integrate.md").partition("\n| `facts` |")[2].partition("|")[0]
    assert re.findall(r"`([a-z_]+)`", told) == [field.name for field in dataclasses.fields(Fact)]


def test_the_warning_of_a_silent_recording_is_explained_in_its_words() -> None:
    assert f"`{NO_SPEECH}`" in page("integrate.md")


def test_the_labels_that_are_explained_are_those_of_the_text() -> None:
    transcripts: list[list[tuple[Role | None, int, int | None]]] = [
        [("doctor", 0, None), ("patient", 1, None), (None, 2, 2)],
        [("multiple", 0, None), (None, 2, None)],
        [("doctor", 0, 1), ("doctor", 0, 2)],
    ]
    shown = set(first_column("| label | of whom |"))
    labels: set[str] = set()
    for voices in transcripts:
        segments = [
            Segment("Hm.", 0.0, 1.0, channel, speaker, final=True, role=role)
            for role, channel, speaker in voices
        ]
        labels |= {line.partition(":")[0] for line in plain_text(segments).splitlines()}
    assert shown == labels - {"doctor, channel 0, speaker 2"}


def test_the_picture_of_the_demo_shows_the_consultation_that_it_plays() -> None:
    sample = json.loads((ROOT / "ops/sample/dialogue.json").read_text())["lines"]
    picture = html.unescape(page("demo.svg")).replace("\N{NO-BREAK SPACE}", " ")
    shown = re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", picture))
    for line in sample:
        assert line["text"].split(". ")[0] in shown
        for fact in line["facts"]:
            assert f"{fact['group']}: {fact['text']}" in shown


def test_the_events_and_the_dead_letter_that_are_shown_are_such() -> None:
    first = (ROOT / "README.md").read_text()
    completed, failed = re.findall(r"^```json event\n(.*?)^```", first, re.MULTILINE | re.DOTALL)
    result = Event.model_validate_json(completed).data
    assert isinstance(result, Completed)
    assert result.text == plain_text(result.segments)
    assert isinstance(Event.model_validate_json(failed).data, Failed)
    (letter,) = re.findall(r"^```json dead-letter\n(.*?)^```", first, re.MULTILINE | re.DOTALL)
    read = DeadLetter.model_validate_json(letter)
    assert read.payload is not None
    assert read.sha256 == hashlib.sha256(read.payload.encode()).hexdigest()


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_to_a_file_leads_to_one(path: Path) -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", path.read_text())
    assert [target for target in targets if not (path.parent / target).exists()] == []


def test_every_page_is_found_from_the_first() -> None:
    first = (ROOT / "README.md").read_text()
    assert [path.name for path in PAGES if f"]({path.relative_to(ROOT)})" not in first] == ["README.md"]
