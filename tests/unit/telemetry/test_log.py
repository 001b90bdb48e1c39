"""Logs: one JSON object in each line, and no data that libraries handle."""

import gc
import io
import json
import logging
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from worker.contract.job import Job
from worker.telemetry import trace
from worker.telemetry.log import LibraryFilter, configure, guard

BODY = '{"patient": {"name": "Ada Example"}}'
LIBRARIES = [
    "celery",
    "kombu",
    "amqp",
    "urllib3",
    "requests",
    "websocket",
    "websockets",
    "redis",
    "libav",
    "asyncio",
    "opentelemetry",
    "root",
    "worker_like",
]


def record(name: str, message: Any, *args: object, level: int = logging.WARNING) -> logging.LogRecord:
    """A library's log record, with an exception and a stack that show the data it handled."""
    with pytest.raises(ValueError, match="Ada") as caught:
        raise ValueError(BODY)
    made = logging.LogRecord(name, level, "file.py", 1, message, args, caught._excinfo)
    made.stack_info = BODY
    return made


def everything(made: logging.LogRecord) -> str:
    """All that any formatter could print of a record."""
    return f"{made.getMessage()} {made.__dict__}"


@pytest.mark.parametrize("name", [*LIBRARIES, "celery.worker.strategy", "kombu.transport.redis", "libav.mp3"])
def test_a_librarys_record_keeps_its_template_and_loses_what_was_filled_in(name: str) -> None:
    made = record(name, "Received and deleted unknown message %r", BODY)
    assert LibraryFilter().filter(made)
    assert made.getMessage() == "Received and deleted unknown message %r [ValueError]"
    assert "Ada" not in everything(made)


@pytest.mark.parametrize("message", [f"got {BODY}", ValueError(BODY), {"body": BODY}])
def test_a_librarys_text_without_arguments_may_be_a_payload_and_is_withheld(message: object) -> None:
    made = record("urllib3.connectionpool", message)
    assert LibraryFilter().filter(made)
    assert made.getMessage() == f"<{type(message).__name__} withheld> [ValueError]"
    assert "Ada" not in everything(made)


def test_a_record_without_an_exception_gets_no_class_of_one() -> None:
    made = record("redis", "connection to %s lost", "h")
    made.exc_info = None
    LibraryFilter().filter(made)
    assert made.getMessage() == "connection to %s lost"


@pytest.mark.parametrize(
    ("level", "kept"), [(logging.DEBUG, False), (logging.INFO, False), (logging.ERROR, True)]
)
def test_records_of_libraries_are_logged_from_warnings_up(level: int, kept: bool) -> None:
    assert LibraryFilter().filter(record("celery.app.trace", "Task %s", BODY, level=level)) is kept


@pytest.mark.parametrize("name", ["worker", "worker.jobs.runner"])
def test_our_own_records_pass_as_they_are(name: str) -> None:
    made = record(name, "it is %s", "so", level=logging.DEBUG)
    assert LibraryFilter().filter(made)
    assert made.getMessage() == "it is so"
    assert made.exc_info is not None


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """The stream to which a configured process writes its log; logging is restored afterwards."""
    root, stream = logging.getLogger(), io.StringIO()
    handlers, level = root.handlers[:], root.level
    yield stream
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()


def test_our_messages_are_one_json_object_a_line(stream: io.StringIO) -> None:
    configure("INFO", "json", stream)
    log = structlog.get_logger("worker.test_log")
    log.debug("too_fine", job_id="visit-17")
    log.warning("job_failed", job_id="visit-17", attempts=3)
    (line,) = stream.getvalue().splitlines()
    value = json.loads(line)
    assert value.pop("timestamp").endswith("Z")
    assert value == {
        "event": "job_failed",
        "job_id": "visit-17",
        "attempts": 3,
        "level": "warning",
        "logger": "worker.test_log",
    }


def test_libraries_write_the_same_lines_through_the_filter(stream: io.StringIO) -> None:
    configure("DEBUG", "json", stream)
    library = logging.getLogger("kombu.test_log")
    library.info("connected to %s", BODY)
    library.error("cannot decode %s", BODY, exc_info=ValueError(BODY))
    (line,) = stream.getvalue().splitlines()
    value = json.loads(line)
    assert (value["event"], value["level"], value["logger"]) == (
        "cannot decode %s [ValueError]",
        "error",
        "kombu.test_log",
    )
    assert "Ada" not in line


def test_the_log_can_be_plain_text_instead(stream: io.StringIO) -> None:
    configure("INFO", "console", stream)
    structlog.get_logger("worker.test_log").info("job_completed", job_id="visit-17")
    (line,) = stream.getvalue().splitlines()
    assert "job_completed" in line
    assert "job_id=visit-17" in line
    assert "\x1b" not in line


TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def test_a_line_bears_its_jobs_id_and_trace(stream: io.StringIO) -> None:
    configure("INFO", "json", stream)
    log = structlog.get_logger("worker.test_log")
    with structlog.contextvars.bound_contextvars(job_id="visit-17", attempt=2), trace.within(TRACEPARENT):
        log.warning("publish_failed")
        logging.getLogger("kombu.test_log").error("lost %s", BODY)
    log.warning("publish_failed")
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    for line in lines[:2]:
        assert (line["job_id"], line["attempt"], line["trace_id"]) == ("visit-17", 2, TRACEPARENT[3:35])
    assert not {"job_id", "attempt", "trace_id"} & lines[2].keys()


def test_a_secret_in_a_field_is_redacted(stream: io.StringIO) -> None:
    configure("INFO", "json", stream)
    log = structlog.get_logger("worker.test_log")
    log.warning("odd", error="no route to wss://api.example/x?token=Bearer%20abc", body=BODY.encode())
    value = json.loads(stream.getvalue())
    assert (value["error"], value["body"]) == ("no route to wss://api.example/...", "<bytes withheld>")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("form", "on_terminal", "is_json"),
    [
        ("auto", False, True),
        ("auto", True, False),
        ("json", True, True),
        ("console", False, False),
    ],
)
def test_a_terminal_gets_text_unless_told_otherwise(
    stream: io.StringIO, form: str, on_terminal: bool, is_json: bool
) -> None:
    target = Terminal() if on_terminal else stream
    configure("INFO", form, target)
    structlog.get_logger("worker.test_log").warning("odd")
    assert target.getvalue().startswith("{") is is_json


@pytest.fixture
def guarded(stream: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    """Log this process's uncaught exceptions; the hooks are restored afterwards."""
    for module, name in (sys, "excepthook"), (threading, "excepthook"), (sys, "unraisablehook"):
        monkeypatch.setattr(module, name, getattr(module, name))
    configure("INFO", "json", stream)
    guard()
    return stream


def test_an_exception_that_nobody_caught_is_logged_by_class_and_place(guarded: io.StringIO) -> None:
    try:
        Job.from_message(BODY.encode())
    except ValueError as error:
        broken = error
    sys.excepthook(type(broken), broken, broken.__traceback__)
    sys.excepthook(OSError, OSError(98, BODY), None)
    sys.excepthook(KeyboardInterrupt, KeyboardInterrupt(), None)
    first, second = (json.loads(line) for line in guarded.getvalue().splitlines())
    assert (first["event"], first["level"], first["error"]) == ("process_broke", "critical", "InvalidJob")
    assert first["where"].startswith("worker.contract.job:")
    assert (second["errno"], second["where"]) == (98, None)
    assert "Ada" not in guarded.getvalue()


def test_an_exception_that_ends_a_thread_is_logged_likewise(guarded: io.StringIO) -> None:
    def run() -> None:
        raise ValueError(BODY)

    thread = threading.Thread(target=run, name="door")
    thread.start()
    thread.join()
    value = json.loads(guarded.getvalue())
    assert (value["event"], value["error"], value["thread"]) == ("thread_broke", "ValueError", "door")
    assert value["where"].startswith(f"{__name__}:")
    assert "Ada" not in guarded.getvalue()


def test_an_exception_in_a_finaliser_is_logged_likewise(guarded: io.StringIO) -> None:
    class Broken:
        def __del__(self) -> None:
            raise ValueError(BODY)

    Broken()
    gc.collect()
    value = json.loads(guarded.getvalue())
    assert (value["event"], value["error"]) == ("cleanup_broke", "ValueError")
    assert "Ada" not in guarded.getvalue()
