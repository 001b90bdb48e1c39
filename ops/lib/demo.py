"""`ops/demo`: runs one consultation through the queues and shows its events as they arrive.

Starts an embedded broker, a real worker and, unless the environment has credentials for the real service,
the sandbox. Puts a job on the queue as plain JSON and shows the events that the worker publishes.
"""

import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from uuid import uuid4

import av
import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from ops.lib import debian, ending, queues
from ops.lib.servers import RabbitMqServer, RedisServer
from ops.lib.worker_process import WorkerProcess, sandbox_settings
from ops.sandbox import launch

_SAMPLE = Path(__file__).resolve().parents[1] / "sample"
_FINAL = ("corti.job.completed.v1", "corti.job.failed.v1")
#: Seconds allowed on top of the audio: connecting, the last facts, `ENDED`, retries.
_GRACE = 180.0
_EXIT_FAILED = 1


@click.command()
@click.argument("file", required=False, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--pace", default=4.0, show_default=True, help="Speed of the audio, in times real time.")
@click.option("--broker", type=click.Choice(["redis", "rabbitmq"]), default="redis", show_default=True)
@click.option("--language", default="en", show_default=True, help="Language spoken in FILE.")
@click.option("--json", "as_json", is_flag=True, help="Print only the final event, as one line of JSON.")
def main(file: Path | None, pace: float, broker: str, language: str, as_json: bool) -> None:
    """Stream FILE (default: the bundled consultation) through a worker and show the result.

    With CORTI_CLIENT_ID and CORTI_CLIENT_SECRET in the environment the worker uses the real service.
    Otherwise it uses the sandbox, which has a script with the transcript of the bundled consultation and
    uses speech recognition (English, not accurate) for other files.
    """
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="corti-demo-")))
        console.print(f"starting {broker} ...")
        settings = _broker(stack, broker)
        settings |= _service(stack, console, folder, file)
        console.print("starting a worker ...")
        log = folder / "worker.telemetry.log"
        audio = file or _SAMPLE / "consultation.wav"
        settings |= {"CORTI_WORKER_SLOTS": "10", "CORTI_WORKER_AUDIO_ROOT": str(audio.resolve().parent)}
        worker = stack.enter_context(WorkerProcess(settings, log)).ready()
        console.print(f"worker ready; health and metrics at http://127.0.0.1:{worker.health_port()}/metrics")
        box = stack.enter_context(queues.connect(settings["CORTI_WORKER_BROKER_URL"]))
        job = _job(audio, pace, language)
        box.put(*queues.encode([job]))
        final = _follow(console, box, job, audio, pace)
        if as_json:
            click.echo(json.dumps(final))
        else:
            _show(Console(highlight=False, soft_wrap=True), final, worker, broker)
        failed = final["type"] != _FINAL[0]
        if failed:
            console.print(f"the worker's log ends with:\n{worker.tail()}")
    sys.exit(_EXIT_FAILED if failed else 0)


def _broker(stack: ExitStack, broker: str) -> dict[str, str]:
    redis = stack.enter_context(RedisServer())
    if broker == "redis":
        return {"CORTI_WORKER_BROKER_URL": redis.url}
    _install_rabbitmq()
    rabbit = stack.enter_context(RabbitMqServer())
    return {"CORTI_WORKER_BROKER_URL": rabbit.url, "CORTI_WORKER_REDIS_URL": redis.url}


def _install_rabbitmq() -> None:
    available, reason = RabbitMqServer.available()
    if available:
        return
    if not debian.may_install():
        raise click.ClickException(f"{reason}; or omit --broker rabbitmq")
    click.echo("installing rabbitmq-server ...", err=True)
    try:
        debian.install("rabbitmq-server")
    except debian.InstallError as error:
        raise click.ClickException(str(error)) from None


def _service(stack: ExitStack, console: Console, folder: Path, file: Path | None) -> dict[str, str]:
    real = {name: value for name, value in os.environ.items() if name.startswith("CORTI_")}
    if {"CORTI_CLIENT_ID", "CORTI_CLIENT_SECRET"} <= real.keys():
        console.print("using the Corti service that the environment names")
        return {name: value for name, value in real.items() if not name.startswith("CORTI_WORKER_")}
    console.print("starting the sandbox ...")
    script = _SAMPLE / "dialogue.json" if file is None else None
    sandbox = launch.start(
        script=script, recognise=file is not None, facts_every=5, state_dir=folder / "sandbox"
    )
    stack.enter_context(sandbox)
    return sandbox_settings(sandbox.info)


def _job(file: Path, pace: float, language: str) -> dict[str, Any]:
    return {
        "job_id": f"demo-{uuid4()}",
        "audio": {"uri": file.resolve().as_uri()},
        "transcription": {"language": language},
        "pace": pace,
        "events": ["progress", "transcript", "facts"],
    }


def _events(box: queues.Queues, job_id: str, timeout: float) -> Iterator[dict[str, Any]]:
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        body = box.take(queues.RESULTS, 1)
        event = json.loads(body) if body else None
        if event and event["subject"] == job_id:
            yield event
    raise click.ClickException(f"no result within {timeout:.0f} s")


def _follow(
    console: Console, box: queues.Queues, job: dict[str, Any], file: Path, pace: float
) -> dict[str, Any]:
    seconds = _seconds(file)
    columns = (
        TextColumn("streaming"),
        BarColumn(),
        TextColumn("{task.completed:.0f} of {task.total:.0f} s of audio"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("audio", total=seconds)
        for event in _events(box, job["job_id"], seconds / pace + _GRACE):
            data = event["data"]
            if event["type"] == "corti.job.progress.v1":
                progress.update(bar, completed=min(seconds, data["audio_seconds"]))
            elif event["type"] == "corti.transcript.segments.v1":
                for segment in data["segments"]:
                    progress.console.print(f"[dim]{segment['start']:6.1f} s  {segment['text']}[/dim]")
            elif event["type"] in _FINAL:
                progress.update(bar, completed=seconds)
                return event
    raise AssertionError("unreachable: _events ends with a result or an error")


def _seconds(file: Path) -> float:
    try:
        with av.open(str(file)) as container:
            return float(container.duration or 0) / av.time_base or 1.0
    except av.error.FFmpegError:
        return 1.0  # the worker reports what is wrong with the file


def _show(console: Console, final: dict[str, Any], worker: WorkerProcess, broker: str) -> None:
    data = final["data"]
    if final["type"] != _FINAL[0]:
        console.print(f"\n[bold]Failed[/bold] ({data['reason']}): {data['detail']}")
        return
    audio = data["audio"]
    console.print(f"\n[bold]Audio[/bold]: {audio['source_format']}; sent as {audio['sent_format']}")
    console.print(
        f"\n[bold]Transcript[/bold]: {audio['speech_seconds']:.1f} s of speech, "
        f"{audio['silence_seconds']:.1f} s of silence"
    )
    for segment in data["segments"]:
        console.print(f"{segment['start']:6.1f} - {segment['end']:5.1f} s  {segment['text']}", markup=False)
    console.print("\n[bold]Facts[/bold]")
    for fact in data["facts"]:
        console.print(f"  {fact['group']}: {fact['text']}", markup=False)
    streamed = worker.metric("corti_audio_streamed_seconds_total")
    console.print(
        f"\n[bold]Metrics[/bold], as this worker served them at /metrics ({streamed:.1f} s of audio):"
    )
    for name in ("corti_jobs_finished_total", "corti_token_fetches_total", "corti_transcript_segments_total"):
        console.print(f"  {name} {worker.metric(name):.0f}", markup=False)
    console.print(f"Interaction {data['interaction_id']}, by way of {broker}. Everything is stopped again.")


if __name__ == "__main__":
    ending.catch_signals()
    main()
