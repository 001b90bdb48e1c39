"""The command line: `corti-worker run|door|schema|settings`."""

import json
import sys
from importlib.util import find_spec
from typing import NoReturn

import click
from pydantic import BaseModel

from worker import __version__
from worker.contract.dead_letter import DeadLetter
from worker.contract.events import Event
from worker.contract.job import Job
from worker.settings import Settings, SettingsError, load, markdown_table, tracing
from worker.telemetry import log

#: What sysexits.h calls a configuration error.
EXIT_CONFIG = 78

_SCHEMAS: dict[str, type[BaseModel]] = {"job": Job, "event": Event, "dead-letter": DeadLetter}


@click.group()
@click.version_option(__version__, prog_name="corti-worker")
def main() -> None:
    """Consultation audio in, transcript and clinical facts out, from queue to queue."""


@main.command()
def run() -> None:
    """Run jobs, and the door unless CORTI_WORKER_DOOR=false, until SIGTERM."""
    settings = _settings()
    from worker.process.worker import run_worker  # noqa: PLC0415  # it loads Celery: check settings first

    sys.exit(run_worker(settings))


@main.command()
def door() -> None:
    """Run only the door: validate producers' messages and hand the good ones on."""
    settings = _settings()
    from worker.process.door import run_door_alone  # noqa: PLC0415

    sys.exit(run_door_alone(settings))


@main.command()
@click.argument("contract", type=click.Choice(sorted(_SCHEMAS)))
def schema(contract: str) -> None:
    """Print the JSON Schema (2020-12) of a contract."""
    value = _SCHEMAS[contract].model_json_schema()
    click.echo(json.dumps({"$schema": "https://json-schema.org/draft/2020-12/schema", **value}, indent=2))


@main.command()
def settings() -> None:
    """Print every setting with its default and meaning, as a Markdown table."""
    click.echo(markdown_table())


def _refuse(why: str) -> NoReturn:
    click.echo(f"corti-worker: {why}", err=True)
    sys.exit(EXIT_CONFIG)


def _has_opentelemetry() -> bool:
    try:
        return find_spec("opentelemetry.exporter.otlp.proto.http") is not None
    except ModuleNotFoundError:
        return False


def _settings() -> Settings:
    try:
        loaded = load()
    except SettingsError as error:
        _refuse(str(error))
    if tracing() and not _has_opentelemetry():
        _refuse(
            "OTEL_EXPORTER_OTLP_ENDPOINT asks for traces, but OpenTelemetry is not installed: "
            "pip install 'corti-worker[otel]', or set OTEL_SDK_DISABLED=true"
        )
    log.configure(loaded.log_level, loaded.log_format)
    log.guard()
    return loaded
