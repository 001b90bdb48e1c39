"""The table of formats and sources in ops/docs/integrate.md: each of its cells is tried."""

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pydantic import ValidationError

from tests.contract.bucket import Moto, moto, objects
from tests.contract.listening import audio_sources
from tests.contract.range_pages import giving
from tests.contract.web_host import WebHost, answer
from tests.recordings import ONSETS, RECIPES, Recipe, make
from tests.unit.audio.reading import Heard, heard_of, job_of, library_of, onsets
from worker.audio.source import Sources
from worker.concurrency.interrupt import Interrupt
from worker.contract.audio import MAX_INLINE_AUDIO_BYTES, Audio

pytestmark = pytest.mark.usefixtures("no_cloud")

SOURCES = ("file", "http", "http without ranges", "inline", "object store")
_TABLE = Path(__file__).parents[2] / "ops/docs/integrate.md"


@pytest.fixture(scope="module")
def store() -> Iterator[Moto]:
    with moto() as server:
        server.make("visits")
        yield server


@contextmanager
def placed(path: Path, source: str, store: Moto) -> Iterator[tuple[Audio, Sources]]:
    """The audio of a job, at a source of this kind."""
    data = path.read_bytes()
    if source == "object store":
        store.put("visits", path.name, data, "application/octet-stream")
        with objects(store.url) as sources:
            yield Audio(uri=f"s3://visits/{path.name}"), sources
        return
    with audio_sources(path.parent) as sources, WebHost() as host:
        if source == "file":
            yield Audio(uri=path.as_uri()), sources
        elif source == "inline":
            yield Audio(data=base64.b64encode(data).decode()), sources
        else:
            page = giving(data) if source == "http" else answer(200, data)
            yield Audio(uri=host.add(f"/{path.name}", page)), sources


def hear_from(path: Path, source: str, store: Moto) -> Heard:
    with (
        placed(path, source, store) as (audio, sources),
        library_of(sources).open(job_of(audio), Interrupt()) as opened,
    ):
        return heard_of(opened)


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("one", RECIPES, ids=lambda one: one.name)
def test_each_format_comes_from_each_source(shelf: Path, store: Moto, one: Recipe, source: str) -> None:
    path = make(one, shelf)
    if source == "inline" and path.stat().st_size > MAX_INLINE_AUDIO_BYTES:
        with pytest.raises(ValidationError, match="use a URI for more"):
            hear_from(path, source, store)
        return
    heard = hear_from(path, source, store)
    assert onsets(heard) == [pytest.approx(onset, abs=0.3) for onset in ONSETS]
    assert heard.sent_format.endswith(f"({one.how})")
    assert heard.warnings == ()


def test_the_table_has_each_format_and_says_what_becomes_of_it() -> None:
    rows = [
        [cell.strip() for cell in line.strip("| ").split("|")]
        for line in _TABLE.read_text(encoding="utf-8").splitlines()
        if line.startswith("| ") and line.rstrip(" |").endswith(("as it is", "repackaged", "converted"))
    ]
    said = {name: cells[-1] for cells in rows for name in cells[1].strip("`").split("`, `")}
    assert said == {one.name: one.how for one in RECIPES}
