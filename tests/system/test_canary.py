"""No secret and no word of a patient leaks into logs, metrics, status pages, traces or error texts.

Marked words go in with jobs, credentials, tokens and error answers. They must come out in payloads only,
at log level DEBUG, on both brokers, through success, failure and crash. The test also checks that the marks
arrived where they must arrive: a mark that never went in could not leak.
"""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import kombu
import redis

from ops.lib.worker_process import WorkerProcess, sandbox_settings
from ops.sandbox import launch
from tests.system.audio import clip
from tests.system.collector import collecting
from tests.system.installation import Installation

_PLACES = [
    "script",
    "fact",
    "patient",
    "pronouns",
    "metadata",
    "title",
    "keyterm",
    "replacement",
    "filename",
    "query",
    "secret",
    "denied",
    "stream",
    "oauth",
    "response",
    "field",
    "value",
    "celery",
    "text",
    "type",
]
#: Each word names the place that it was put in, so that a failure shows what leaked.
MARKS = {place: f"canary-{place}-7f3a9c" for place in _PLACES}
QUICK: dict[str, Any] = {"lease": 4, "visibility_timeout": 4, "log_level": "DEBUG", "grace": 3}


def test_no_marked_word_shows_outside_of_payloads(
    broker_url: str, redis_url: str, installation: Installation, tmp_path: Path
) -> None:
    short, long = tmp_path / f"{MARKS['filename']}.wav", tmp_path / "long.wav"
    clip(short, 3.0, seed=1)
    clip(long, 8.0, seed=2)
    with collecting() as collector, marked_sandbox(tmp_path) as sandbox, broken_host() as host:
        installation.sandbox = sandbox
        installation.settings |= {
            **sandbox_settings(sandbox.info),
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint,
            "OTEL_BSP_SCHEDULE_DELAY": "200",
        }
        first = installation.start_worker(**QUICK, audio_hosts="127.0.0.1").ready()
        finals, letters = success_and_failure(installation, short, host)
        foreign_messages(broker_url)
        installation.until(lambda: "task_without_job" in first.text(), 15)
        token = issued_token(redis_url)

        takeover(installation, long, first)
        second = installation.workers[-1]
        drained(installation, long, second)
        pages = [
            one.get(path, accept)[1]
            for one in installation.workers
            for path in ("/metrics", "/status", "/readyz", "/livez")
            for accept in ("*/*", "application/openmetrics-text; version=1.0.0")
            if one.process.poll() is None
        ]
        installation.until(lambda: sum(one.name == "stream" for one in collector.spans) >= 3, 10)
        traces = b"".join(collector.bodies).decode(errors="replace")

    told = {
        "log": "\n".join(worker.text() for worker in installation.workers),
        "pages": "\n".join(pages),
        "traces": traces,
        "dead letters": json.dumps([without_payload(letter) for letter in letters]),
        "results": json.dumps([reasons(event) for event in finals.values()]),
    }
    words = {**MARKS, "token": token, "signature": token.rpartition(".")[2][:20]}
    leaks = [(where, mark) for where, text in told.items() for mark, word in words.items() if word in text]
    # The dead letter of an invalid job names its invalid fields, and a producer may use any word as a name.
    assert [leak for leak in leaks if leak != ("dead letters", "field")] == []
    assert "Traceback" not in told["log"]
    assert "corti.jobs" in told["traces"]
    assert "corti_jobs_finished_total" in told["pages"]


def success_and_failure(
    installation: Installation, audio: Path, host: str
) -> tuple[dict[str, dict[str, Any]], list[dict[str, Any]]]:
    """Run jobs that succeed, jobs that fail at each step and invalid ones; return finals, dead letters."""
    sandbox = installation.sandbox
    sandbox.fault("config_denied", reason=MARKS["denied"], encounter="denied")
    error = {"id": MARKS["stream"], "title": MARKS["stream"], "details": MARKS["stream"]}
    sandbox.fault("error_message", fatal=True, encounter="broken", **error)
    sandbox.fault("error_message", encounter="good", **error)
    sandbox.fault("auth_error", status=401, error=MARKS["oauth"], count=1)
    sandbox.fault("drop_socket", after_seconds=1, count=1, encounter="good")
    jobs = [
        marked(installation, audio, "good", events=["transcript", "facts", "progress"]),
        marked(installation, audio, "denied"),
        marked(installation, audio, "broken"),
        marked(
            installation, audio, "away", audio={"uri": f"{host}/{MARKS['filename']}?sig={MARKS['query']}"}
        ),
        marked(installation, audio, "missing", audio={"uri": f"file:///{MARKS['filename']}.wav"}),
    ]
    bad: dict[str, Any] = {**marked(installation, audio, "bad"), MARKS["field"]: 1, "pace": MARKS["value"]}
    nested = marked(installation, audio, "nested", patient={"identifier": 7, "name": [MARKS["patient"]]})
    installation.put(*jobs, bad, nested, MARKS["text"].encode(), b"\xff" + MARKS["text"].encode())

    finals = installation.finals(len(jobs), timeout=90)
    letters = installation.dead(8, timeout=30)

    data = {job_id: event["data"] for job_id, event in finals.items()}
    assert {job_id: value.get("reason", "completed") for job_id, value in data.items()} == {
        "good": "completed",
        "denied": "config_denied",
        "broken": data["broken"]["reason"],
        "away": "audio_unreachable",
        "missing": "audio_unreachable",
    }
    # The marks did go in.
    assert MARKS["script"] in json.dumps(data["good"]["segments"])
    assert MARKS["fact"] in json.dumps(data["good"]["facts"])
    assert data["good"]["metadata"] == {"note": MARKS["metadata"]}
    assert sum(MARKS["patient"] in json.dumps(letter) for letter in letters) >= 4
    assert all(fault["used"] for fault in sandbox.faults())
    return finals, letters


def marked(installation: Installation, path: Path, name: str, /, **changes: Any) -> dict[str, Any]:
    """A job with a marked word in every place that a producer can fill."""
    job = installation.job(
        path,
        job_id=name,
        pace=2,
        patient={
            "identifier": MARKS["patient"],
            "name": MARKS["patient"],
            "pronouns": MARKS["pronouns"],
        },
        encounter={"identifier": f"{name} {MARKS['title']}", "title": MARKS["title"]},
        metadata={"note": MARKS["metadata"]},
        transcription={
            "language": "en",
            "keyterms": [MARKS["keyterm"]],
            "replacements": [{"find": MARKS["replacement"], "replace": MARKS["replacement"]}],
        },
    )
    return job | changes


def foreign_messages(broker_url: str) -> None:
    """Put two tasks on Celery's own queue, past the door: an unknown one, and ours with an invalid job."""
    with kombu.Connection(broker_url) as connection:
        producer = connection.Producer()
        for task in MARKS["type"], "corti.transcribe":
            producer.publish(
                [[MARKS["celery"]], {}, {}],
                routing_key="corti.work",
                serializer="json",
                headers={"task": task, "id": f"{MARKS['celery']}", "lang": "py", "argsrepr": MARKS["celery"]},
            )


def takeover(installation: Installation, audio: Path, victim: WorkerProcess) -> None:
    """Kill a worker in mid-stream; a new worker takes its job over and completes it."""
    installation.put(marked(installation, audio, "taken-over"))
    installation.wait_for_streams(1)
    victim.kill()
    installation.start_worker(**QUICK).ready()
    assert installation.outcomes(installation.finals(1, timeout=40)) == {"completed": 1}


def drained(installation: Installation, audio: Path, worker: WorkerProcess) -> None:
    """End a worker with SIGTERM; it hands its job back, and a new worker completes the job."""
    installation.put(marked(installation, audio, "handed-back", pace=0.5))
    installation.wait_for_streams(1)
    assert worker.terminate() == 0
    installation.start_worker(**QUICK).ready()
    assert installation.outcomes(installation.finals(1, timeout=60)) == {"completed": 1}


@contextmanager
def marked_sandbox(folder: Path) -> Iterator[launch.Sandbox]:
    """A sandbox whose transcript, fact and client secret hold marked words."""
    fact = {"group": "other", "text": MARKS["fact"], "id": "one"}
    script = folder / "script.json"
    line = {"start": 0.1, "end": 0.6, "text": MARKS["script"], "facts": [fact]}
    script.write_text(json.dumps({"language": "en", "lines": [line]}))
    with launch.start(script=script, client_secret=MARKS["secret"]) as sandbox:
        yield sandbox


@contextmanager
def broken_host() -> Iterator[str]:
    """A web server whose error pages quote the request, as many do."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_error(404, MARKS["response"], f"{MARKS['response']} {self.path}")

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def issued_token(redis_url: str) -> str:
    """The access token that the workers share; without a configured key it is stored unencrypted."""
    with redis.Redis.from_url(redis_url) as client:
        (key,) = [name for name in client.scan_iter("corti:v1:token:*") if not name.endswith(b":lock")]
        value: Any = client.hget(key, "value")
    assert value.count(b".") == 2
    return str(value.decode())


def without_payload(letter: dict[str, Any]) -> dict[str, Any]:
    """A dead letter without its payload: the part that is shown to people."""
    return {name: value for name, value in letter.items() if not name.startswith("payload")}


def reasons(event: dict[str, Any]) -> dict[str, Any]:
    """The part of a final event that describes the failure."""
    return {name: event["data"].get(name) for name in ("reason", "detail", "cause")}
