"""Every subject of the bench streams at its pace, receives messages and reports its failures."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ops.benchmarks.native.build import BuildError, available
from ops.benchmarks.native.server import LoadServer
from ops.benchmarks.subjects import SUBJECTS, Load, Subject
from ops.benchmarks.subjects.prepare import node_available, prepare_node
from ops.lib import children
from tests.conftest import require

ROOT = Path(__file__).parents[2]
STREAMS = 5


@pytest.fixture(scope="module")
def server() -> Iterator[LoadServer]:
    require(*available())
    with LoadServer() as server:
        yield server


@pytest.fixture(scope="module")
def node() -> None:
    require(*node_available())
    try:
        prepare_node()
    except BuildError as error:
        require(False, str(error))


def start(subject: Subject, load: Load) -> children.Child:
    return children.start(
        subject.command(load), cwd=ROOT, stdout=children.PIPE, stderr=children.PIPE, text=True
    )


@pytest.mark.parametrize("name", SUBJECTS)
def test_a_subject_streams_and_reports(name: str, server: LoadServer, request: pytest.FixtureRequest) -> None:
    if name in {"corti_sdk", "ws_node"}:
        request.getfixturevalue("node")
    load = Load(server.stream_url, server.ca_file, streams=STREAMS, seconds=60, ramp=0.2)
    with start(SUBJECTS[name], load) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            assert json.loads(process.stdout.readline()) == {"ready": True, "failures": 0}
            time.sleep(0.3)
            server.reset()
            before = server.stats()["now"]
            time.sleep(2)
            stats = server.stats()
        finally:
            process.terminate()
        last = json.loads(process.stdout.readline())
        assert (process.wait(10), process.stderr.read()) == (0, "")
    assert stats["open"] == STREAMS
    # On a busy machine, up to two chunks of each stream may still be on their way.
    assert stats["chunks"] == pytest.approx(STREAMS * 4 * (stats["now"] - before), abs=2 * STREAMS)
    assert stats["audio_bytes"] == 8000 * stats["chunks"]
    # Each chunk is sent when it is due: a subject that sent a second's chunks at once would be 250 ms late.
    assert stats["lateness"]["p50"] < 125
    assert last["failures"] == 0
    assert last["connect_ms"]["n"] == STREAMS
    assert 0 < last["connect_ms"]["p50"] <= last["connect_ms"]["p99"]


@pytest.mark.parametrize("name", ["floor", "websockets_asyncio", "picows_asyncio", "quickstart", "ws_node"])
def test_a_subject_that_loses_its_server_counts_failures(name: str, request: pytest.FixtureRequest) -> None:
    if name == "ws_node":
        request.getfixturevalue("node")
    require(*available())
    with LoadServer() as server:
        load = Load(server.stream_url, server.ca_file, streams=2, seconds=1.5, ramp=0)
        process = start(SUBJECTS[name], load)
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["ready"]
    last, _ = process.communicate(timeout=20)
    assert json.loads(last)["failures"] == 2


def test_certificates_are_verified(server: LoadServer, tmp_path: Path, node: None) -> None:
    del node
    with LoadServer() as other:
        for name, subject in SUBJECTS.items():
            load = Load(server.stream_url, other.ca_file, streams=1, seconds=0, ramp=0)
            with start(subject, load) as process:
                printed, _ = process.communicate(timeout=30)
            lines = [json.loads(line) for line in printed.splitlines()]
            assert process.returncode != 0 or lines[-1]["failures"] == 1, name
    assert server.stats()["open"] == 0
