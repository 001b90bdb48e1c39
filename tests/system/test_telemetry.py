"""Metrics, logs, audit trail, traces and status of the workers report exactly what happened."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

from ops.lib.worker_process import WorkerProcess
from tests.system.audio import clip
from tests.system.collector import Span, collecting
from tests.system.installation import Installation
from worker import __version__

GOOD, BAD, DROPPED, REFUSED = 100, 5, 3, 4
DONE = GOOD + DROPPED + 1  # one more: the job that is taken over
QUEUES = {"corti.jobs", "corti.work", "corti.jobs.aside", "corti.results", "corti.dead"}


class Fleet:
    """Several processes whose metrics are read together."""

    def __init__(self, *processes: WorkerProcess) -> None:
        self.processes = processes

    def total(self, name: str, **labels: str) -> float:
        """The sum of a metric over all processes."""
        return sum(one.metric(name, **labels) for one in self.processes)

    def told(self, event: str) -> list[dict[str, Any]]:
        """The log lines of all processes with this `event`."""
        return [line for one in self.processes for line in one.records() if line.get("event") == event]

    def audited(self) -> Counter[str]:
        """The number of audit records of all processes, by step."""
        return Counter(
            line["subtype"][0]["code"]
            for one in self.processes
            for line in one.records()
            if line.get("resourceType") == "AuditEvent"
        )

    def observers(self) -> list[str]:
        """The metrics pages of the processes that report about the whole installation."""
        pages = [one.get("/metrics")[1] for one in self.processes]
        return [page for page in pages if "\ncorti_queue_depth{" in page]


def test_after_a_known_mix_of_jobs_the_metrics_show_exactly_that_mix(
    installation: Installation, tmp_path: Path
) -> None:
    short, long, bad = tmp_path / "short.wav", tmp_path / "long.wav", tmp_path / "bad.wav"
    clip(short, 1.0, seed=1)
    clip(long, 6.0, seed=2)
    bad.write_bytes(b"this is no audio at all " * 10)
    installation.sandbox.fault("drop_socket", after_seconds=0.5, count=DROPPED, encounter="drop-")
    quick: dict[str, Any] = {"lease": 4, "visibility_timeout": 4, "door": "false"}
    door = installation.start_door().ready()
    victim = installation.start_worker(**quick).ready()
    installation.put(installation.job(long))
    installation.wait_for_streams(1)
    # The victim's metrics go with it: the numbers below are those of the other processes.
    victim.kill()
    fleet = Fleet(door, *(installation.start_worker(**quick).ready() for _ in range(2)))
    installation.put(
        *(installation.job(short, pace=4) for _ in range(GOOD)),
        *(installation.job(bad) for _ in range(BAD)),
        *(installation.job(short, pace=4, job_id=f"drop-{n}") for n in range(DROPPED)),
        *(b'{"job_id": "refused"}' for _ in range(REFUSED)),
    )

    finals = installation.finals(DONE + BAD, timeout=90)
    installation.until(lambda: fleet.total("corti_jobs_running") == 0, 10)

    assert installation.outcomes(finals) == {"completed": DONE, "audio_unsupported": BAD}
    said: dict[str, dict[str, float]] = {
        "corti_door_messages_total": {"accepted": DONE + BAD, "refused": REFUSED},
        "corti_jobs_finished_total": {"completed": DONE, "failed": BAD},
        "corti_events_published_total": {"completed": DONE, "failed": BAD, "started": DONE - 1 + BAD},
        "corti_claims_total": {"claimed": DONE - 1 + BAD, "taken_over": 1, "finished": 0},
        "corti_jobs_retried_total": {"": DROPPED, "stream_interrupted": DROPPED},
        "corti_dead_letters_total": {"": BAD + REFUSED, "audio_unsupported": BAD, "invalid_job": REFUSED},
        "corti_streams_ended_total": {"ended": DONE, "stream_interrupted": DROPPED},
        "corti_audit_records_total": {"lost": 0},
        **{
            name: {"": count}
            for name, count in {
                "corti_jobs_received_total": DONE + BAD,
                "corti_jobs_handed_back_total": 0,
                "corti_results_swept_total": 0,
                "corti_job_duration_seconds_count": DONE + BAD,
                "corti_job_audio_seconds_count": DONE,
                "corti_job_audio_seconds_sum": GOOD + DROPPED + 6.0,
                # The job that is taken over is not among these: it started on the victim.
                "corti_job_wait_seconds_count": DONE - 1 + BAD,
                "corti_token_fetches_total": 0,  # all use the token that the victim has fetched
                "corti_slots": 200,
                "corti_draining": 0,
                "corti_streams_open": 0,
            }.items()
        },
    }
    for name, values in said.items():
        for value, count in values.items():
            label = {"corti_events_published_total": f"corti.job.{value}.v1"}.get(name, value)
            key = _label(name, value)
            assert fleet.total(name, **({key: label} if value else {})) == count, (name, value)

    assert Counter(line["event"] for line in fleet.told("job_completed") + fleet.told("job_failed")) == {
        "job_completed": DONE,
        "job_failed": BAD,
    }
    (taken_over,) = [line for line in fleet.told("job_completed") if line["takeover"]]
    assert (taken_over["attempts"], taken_over["audio_seconds"], taken_over["waited"]) == (2, 6.0, None)
    assert fleet.audited() == {
        "received": DONE + BAD,
        "claimed": DONE + BAD,
        "streamed": DONE + DROPPED,
        "published": DONE,
        "failed": BAD + REFUSED,
    }
    _assert_one_observer_reports_the_queues(installation, fleet)


def _label(name: str, value: str) -> str:
    if name == "corti_events_published_total":
        return "type"
    reasons = {"corti_jobs_retried_total", "corti_dead_letters_total", "corti_streams_ended_total"}
    return "reason" if name in reasons and value else "outcome"


def _assert_one_observer_reports_the_queues(installation: Installation, fleet: Fleet) -> None:
    def told(name: str, **labels: str) -> float:
        return fleet.total(name, **labels)

    installation.until(lambda: told("corti_queue_depth", queue="corti.dead") == BAD + REFUSED, 20)
    (page,) = fleet.observers()
    lines = [line for line in page.splitlines() if line.startswith("corti_queue_depth{")]
    queues = QUEUES | ({"corti.undelivered"} if installation.broker == "rabbitmq" else set())
    assert {line.partition('queue="')[2].partition('"')[0] for line in lines} == queues
    installation.until(lambda: told("corti_queue_depth", queue="corti.work") == 0, 20)
    assert sum('state="running"' in line for line in lines) == 1
    assert (told("corti_outbox_results"), told("corti_outbox_age_seconds")) == (0, 0)


def test_one_process_reports_what_runs_and_waits_and_when_it_ends_another_does(
    installation: Installation, tmp_path: Path
) -> None:
    path = tmp_path / "long.wav"
    clip(path, 25.0, seed=1)
    first = installation.start_worker(slots=2).ready()
    installation.until(lambda: "\ncorti_queue_depth{" in first.get("/metrics")[1], 10)
    second = installation.start_worker(slots=2).ready()
    fleet = Fleet(first, second)
    installation.put(*(installation.job(path) for _ in range(7)))
    work = {"queue": "corti.work"}
    # Celery's pool of threads must prefetch no job beyond its slots.
    installation.until(
        lambda: (
            fleet.total("corti_queue_depth", state="running", **work) == 4
            and fleet.total("corti_queue_depth", state="waiting", **work) == 3
        ),
        20,
    )
    assert len(fleet.observers()) == 1
    assert fleet.total("corti_jobs_running") == 4
    status = json.loads(first.get("/status")[1])
    assert {name: status[name] for name in ("version", "slots", "jobs_running", "draining")} == {
        "version": __version__,
        "slots": 2,
        "jobs_running": 2,
        "draining": False,
    }
    assert status["streams_open"] == 2
    first.process.terminate()
    installation.until(lambda: json.loads(first.get("/status")[1] or "{}").get("draining", True), 5)
    first.kill()
    installation.until(lambda: "\ncorti_queue_depth{" in second.get("/metrics")[1], 30)
    second.kill()


def test_a_trace_leads_from_the_producer_through_door_and_task_to_the_result(
    installation: Installation, tmp_path: Path
) -> None:
    path = tmp_path / "short.wav"
    clip(path, 2.0, seed=1)
    producer = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    trace = producer[3:35]
    installation.sandbox.fault("drop_socket", after_seconds=1, count=1)
    with collecting() as collector:
        installation.settings |= {
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint,
            "OTEL_BSP_SCHEDULE_DELAY": "200",
        }
        worker = installation.start_worker().ready()
        installation.put(installation.job(path, pace=4, traceparent=producer, events=["facts"]))
        events = installation.events_until_final(timeout=30)
        installation.until(lambda: any(one.name == "process corti.work" for one in collector.spans), 10)
        spans = {one.name: one for one in collector.spans}

        def under(name: str) -> str:
            return next(one.name for one in spans.values() if one.id == spans[name].parent)

        assert {one.trace for one in collector.spans} == {trace}
        assert spans["process corti.jobs"].parent == producer[36:52]
        assert under("process corti.work") == "process corti.jobs"
        for name in ("token", "create_interaction", "connect", "stream", "publish corti.results"):
            assert under(name) == "process corti.work", name
        streams = [one for one in collector.spans if one.name == "stream"]
        assert [one.failed for one in streams] == ["stream_interrupted", ""]
        assert streams[1].events["ended"]["corti.audio_seconds"] == 2.0
        assert {"stream_open", "first_segment", "usage"} <= streams[1].events.keys()
        assert spans["process corti.work"].events["attempt_failed"]["corti.reason"] == "stream_interrupted"
        # Events carry the trace on: the parent of each event is the span in which it was sent.
        ours = {f"00-{trace}-{one.id}-01": one.name for one in collector.spans}
        assert ours[events[-1]["traceparent"]] == ours[events[0]["traceparent"]] == "process corti.work"
        assert {ours[event["traceparent"]] for event in events[1:-1]} == {"stream"}
        assert _messaging(spans["process corti.work"]) == (installation.broker, "process", "corti.work")
        page = worker.get("/metrics", accept="application/openmetrics-text; version=1.0.0")[1]
        assert f'# {{trace_id="{trace}"}}' in page
        assert {line["trace_id"] for line in worker.records() if line.get("event") == "job_completed"} == {
            trace
        }
        assert worker.terminate() == 0


def _messaging(span: Span) -> tuple[Any, ...]:
    names = ("system", "operation.name", "destination.name")
    return tuple(span.attributes[f"messaging.{name}"] for name in names)


def test_without_spans_the_producers_trace_is_passed_on_as_it_is(
    installation: Installation, tmp_path: Path
) -> None:
    path = tmp_path / "short.wav"
    clip(path, 1.0, seed=1)
    producer = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-00"
    worker = installation.start_worker().ready()
    installation.put(installation.job(path, pace=4, traceparent=producer))
    assert {event["traceparent"] for event in installation.events_until_final(timeout=30)} == {producer}
    fleet = Fleet(worker)
    installation.until(lambda: bool(fleet.told("job_completed")), 5)
    (line,) = fleet.told("job_completed")
    assert (line["trace_id"], line["attempt"]) == (producer[3:35], 1)
