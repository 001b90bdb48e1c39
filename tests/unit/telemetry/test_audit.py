"""The audit trail: a FHIR AuditEvent for each step says who, when and for whom, and shows no content."""

import io
import json
import threading
import time
from datetime import UTC, datetime
from typing import Any

import pytest
from fhir.resources.R4B.auditevent import AuditEvent
from structlog.testing import capture_logs

from tests.fakes import EPOCH, FakeClock, FakeRecorder
from tests.unit.examples import FULL
from worker.contract.job import Job
from worker.telemetry import catalogue
from worker.telemetry.audit import Entry, Step, Unaudited, audit_event
from worker.telemetry.audit_log import AuditLog

JOB = Job.from_message(json.dumps(FULL).encode())


def event(entry: Entry) -> dict[str, Any]:
    """The audit record that is made of an entry."""
    at = datetime(2026, 3, 1, 9, 0, 0, 123456, tzinfo=UTC)
    return audit_event(entry, at, tenant="base", worker="corti-worker 1", host="pod-7")


def details(record: dict[str, Any]) -> dict[str, str]:
    """The details of the record's entity, by type."""
    return {one["type"]: one["valueString"] for one in record["entity"][0]["detail"]}


@pytest.mark.parametrize("step", Step)
@pytest.mark.parametrize("reason", [None, "expired"])
@pytest.mark.parametrize("job_id", [None, "visit-17"])
def test_each_record_is_an_audit_event(step: Step, reason: str | None, job_id: str | None) -> None:
    record = event(Entry(step, job_id, reason, user="5f3c", details={"attempt": 2}))
    read = AuditEvent.model_validate_json(json.dumps(record))
    assert read.recorded == datetime(2026, 3, 1, 9, 0, 0, 123000, tzinfo=UTC)
    assert read.outcome == ("8" if reason else "0")
    assert record.get("outcomeDesc") == reason
    assert [one["code"] for one in record["subtype"]] == [step.name.lower()]


def test_a_record_says_who_did_what_for_whom() -> None:
    record = event(Entry.of(Step.STREAMED, JOB, audio_seconds=1.5, takeover=False))
    assert [(one["who"], one["requestor"]) for one in record["agent"]] == [
        ({"identifier": {"system": "urn:corti:user", "value": FULL["assigned_user_id"]}}, True),
        ({"display": "corti-worker 1"}, False),
    ]
    assert record["agent"][1]["network"] == {"address": "pod-7", "type": "1"}
    assert record["entity"][0]["what"]["identifier"]["value"] == "visit-17"
    assert details(record) == {
        "tenant": JOB.tenant or "base",
        "retention": FULL["output"]["retention"],
        "audio_seconds": "1.5",
        "takeover": "False",
    }


def test_a_record_holds_nothing_of_the_jobs_content() -> None:
    text = json.dumps([event(Entry.of(step, JOB, reason="expired")) for step in Step])
    for secret in "Ada", "p-4", "ehr.example", "enc-17", "Knee", "meniscus", "ward":
        assert secret in json.dumps(FULL)
        assert secret not in text


def test_the_record_of_an_unreadable_job_names_the_defaults() -> None:
    assert details(event(Entry(Step.FAILED, None, "invalid_job"))) == {
        "tenant": "base",
        "retention": "default",
    }
    Unaudited().record(Entry(Step.FAILED, None))


class Broken(io.BytesIO):
    """A disk that is full."""

    def write(self, _: Any) -> int:
        raise OSError(28, "No space left on device: /audit/Ada")


class Blocked(io.BytesIO):
    """A pipe that nobody reads, until somebody does."""

    def __init__(self) -> None:
        super().__init__()
        self.reached, self.flows = threading.Event(), threading.Event()

    def write(self, data: Any) -> int:
        self.reached.set()
        assert self.flows.wait(10)
        return super().write(data)


def trail(stream: io.BytesIO, most: int = 100) -> tuple[AuditLog, FakeRecorder]:
    """An audit trail that writes to a stream."""
    recorder = FakeRecorder()
    log = AuditLog(
        stream,
        tenant="base",
        host="h",
        worker="w",
        recorder=recorder,
        clock=FakeClock(),
        most=most,
        patience=0.01,
    )
    return log, recorder


def test_records_are_appended_one_a_line() -> None:
    stream = io.BytesIO(b"before\n")
    stream.seek(0, io.SEEK_END)
    log, recorder = trail(stream)
    with log:
        log.record(Entry.of(Step.CLAIMED, JOB))
        log.record(Entry.of(Step.PUBLISHED, JOB))
    before, *lines = stream.getvalue().decode().splitlines()
    assert before == "before"
    assert [json.loads(line)["type"]["code"] for line in lines] == ["access", "report"]
    assert {datetime.fromisoformat(json.loads(line)["recorded"]) for line in lines} == {EPOCH}
    assert recorder.counts == {(catalogue.AUDIT_RECORDS.name, "written"): 2}
    assert log.check() is None


@pytest.mark.parametrize("closed", [False, True])
def test_a_full_disk_costs_no_consultation(closed: bool) -> None:
    stream = io.BytesIO() if closed else Broken()
    if closed:
        stream.close()
    log, recorder = trail(stream)
    with capture_logs() as logs, log:
        log.record(Entry.of(Step.PUBLISHED, JOB))
    assert recorder.counts == {(catalogue.AUDIT_RECORDS.name, "lost"): 1}
    assert [(line["event"], line["step"]) for line in logs] == [("audit_record_lost", "published")]
    assert "Ada" not in str(logs)
    assert "cannot be written" in str(log.check())


def test_a_trail_that_nobody_reads_holds_up_one_record_for_a_moment_and_then_none() -> None:
    stream = Blocked()
    log, recorder = trail(stream, most=4)
    with log:
        log.record(Entry.of(Step.CLAIMED, JOB))
        assert stream.reached.wait(10)
        for _ in range(4):
            log.record(Entry.of(Step.CLAIMED, JOB))
        assert log.check() is None
        began = time.monotonic()
        for _ in range(500):
            log.record(Entry.of(Step.CLAIMED, JOB))
        assert time.monotonic() - began < 2, "more than one record waited for the reader"
        assert recorder.counts[catalogue.AUDIT_RECORDS.name, "lost"] == 500
        assert "blocked" in str(log.check())
        assert log.heartbeat.check() is None, "a thread that waits for its reader must count as alive"
        stream.flows.set()
    assert log.check() is None
    assert recorder.counts[catalogue.AUDIT_RECORDS.name, "written"] == 5
    assert len(stream.getvalue().splitlines()) == 5


def test_records_that_nobody_reads_do_not_hold_up_the_end_of_the_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("worker.telemetry.audit_log._FLUSH", 0.01)
    stream = Blocked()
    log, _ = trail(stream)
    with capture_logs() as logs, log:
        log.record(Entry.of(Step.CLAIMED, JOB))
        assert stream.reached.wait(10)
        log.record(Entry.of(Step.CLAIMED, JOB))
    assert logs == [{"event": "audit_records_unwritten", "records": 1, "log_level": "error"}]
    stream.flows.set()
