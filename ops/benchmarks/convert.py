"""`convert`: what reading each audio format costs, and how late other streams become during conversions."""

import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import av
import click

from ops.benchmarks import report
from ops.benchmarks.figures import Row
from ops.benchmarks.fleet import installation, patience, speech, until_open
from ops.benchmarks.meter import Reading, cores
from ops.benchmarks.native.server import LoadServer
from worker.audio.blocking import BlockingCalls
from worker.audio.downloads import Downloads
from worker.audio.library import Library
from worker.audio.roots import Roots
from worker.audio.source import Sources
from worker.audio.spool import Spool
from worker.clock import SystemClock
from worker.concurrency.interrupt import Interrupt
from worker.contract.audio import Audio
from worker.contract.job import Job, Transcription
from worker.network import trust
from worker.network.hosts import HostRules

_HOUR = 3600.0
#: Bits per second, for encoders without a default.
_BIT_RATES = {"libopencore_amrnb": 12_200, "wmav2": 64_000}


class _Kind(NamedTuple):
    """A format: the name for the table, the file's extension, PyAV's codec, and the sample rate in Hz."""

    name: str
    extension: str
    codec: str
    rate: int


_KINDS = (
    _Kind("PCM, 16 bit", "wav", "pcm_s16le", 16_000),
    _Kind("MP3", "mp3", "libmp3lame", 44_100),
    _Kind("FLAC", "flac", "flac", 16_000),
    _Kind("Opus in Ogg", "ogg", "libopus", 48_000),
    _Kind("AAC in M4A, index behind", "m4a", "aac", 44_100),
    _Kind("A-law", "wav", "pcm_alaw", 8_000),
    _Kind("float", "wav", "pcm_f32le", 48_000),
    _Kind("AMR", "amr", "libopencore_amrnb", 8_000),
    _Kind("WMA", "wma", "wmav2", 44_100),
    _Kind("Apple Lossless", "m4a", "alac", 44_100),
)


@click.command()
@click.option("--minutes", default=10.0, show_default=True, help="Minutes of audio for each format.")
@click.option("--streams", "count", default=1000, show_default=True, help="Number of running PCM streams.")
@click.option("--conversions", default=10, show_default=True, help="Number of conversions beside them.")
@click.option("--seconds", default=20.0, show_default=True, help="Seconds of each measurement.")
@click.option(
    "--json", "file", type=click.Path(dir_okay=False, path_type=Path), help="Write figures to a file."
)
def convert(minutes: float, count: int, conversions: int, seconds: float, file: Path | None) -> None:
    """Measure what each format costs, then PCM streams beside conversions."""
    with tempfile.TemporaryDirectory(prefix="corti-bench-") as name, ExitStack() as stack:
        folder = Path(name)
        begin = stack.enter_context(report.progress("convert", len(_KINDS) + 2))
        base = speech(folder / "base.wav", minutes * 60)
        library = _library(folder, stack)
        costs = []
        for kind in _KINDS:
            begin(kind.name)
            costs.append(_cost(library, kind, _made(kind, base, folder), minutes * 60))
        beside = _beside(folder, count, conversions, seconds, begin)
    columns = {"cpu": "CPU s per audio hour", "times": "times real time"}
    report.show(report.table("What reading audio costs", costs, ["format", "is sent"], columns))
    columns = {
        "core": "core",
        "late_p50": "late p50 ms",
        "late_p99": "late p99 ms",
        "late_max": "late max ms",
        "failed": "failed",
    }
    title = f"{count:,} PCM streams, alone and beside {conversions} conversions of A-law at their pace"
    report.show(report.table(title, beside, ["conversions"], columns))
    if file:
        report.write_json(file, "convert", [*costs, *beside])


def _library(folder: Path, stack: ExitStack) -> Library:
    calls = BlockingCalls()
    stack.callback(calls.close)
    downloads = Downloads(
        HostRules.parse(None),
        calls,
        SystemClock(),
        context=trust.context(None),
        timeout=10,
        least_speed=0,
        max_bytes=1,
    )
    stack.callback(downloads.close)
    return Library(
        Sources(downloads, Roots((folder.resolve(),)), calls),
        chunk_seconds=0.25,
        max_seconds=24 * _HOUR,
        wav_as="pcm",
        spool=Spool(folder, 1 << 30),
        turn=threading.BoundedSemaphore(1),
    )


def _made(kind: _Kind, base: Path, folder: Path) -> Path:
    """Write the audio in a format, and return the path of the file."""
    path = folder / f"{kind.codec}.{kind.extension}"
    muxer = {"m4a": "ipod", "wma": "asf"}.get(kind.extension, kind.extension)
    with av.open(str(base)) as source, av.open(str(path), mode="w", format=muxer) as out:
        stream: Any = out.add_stream(kind.codec, rate=kind.rate, layout="mono")
        if kind.codec in _BIT_RATES:
            stream.bit_rate = _BIT_RATES[kind.codec]
        resampler = av.AudioResampler(
            format=stream.codec_context.format,
            layout="mono",
            rate=kind.rate,
            frame_size=stream.codec_context.frame_size or None,
        )
        for frame in [*source.decode(audio=0), None]:
            for piece in resampler.resample(frame):
                out.mux(stream.encode(piece))
        out.mux(stream.encode(None))
    return path


def _cost(library: Library, kind: _Kind, path: Path, seconds: float) -> Row:
    """Measure the CPU that it takes to read all chunks of a file as fast as possible; return a row."""
    job = Job(
        job_id="bench", audio=Audio(uri=path.resolve().as_uri()), transcription=Transcription(language="en")
    )
    began = time.process_time()
    with library.open(job, Interrupt()) as audio:
        heard = sum(chunk.seconds for chunk in audio.chunks())
        sent = audio.sent_format.rpartition("(")[2].rstrip(")")
    cpu = time.process_time() - began
    if abs(heard - seconds) > 1:
        raise click.ClickException(f"{kind.name}: {heard:.1f} s were read of {seconds:.1f} s")
    return {"format": kind.name, "is sent": sent, "cpu": cpu / seconds * _HOUR, "times": seconds / cpu}


def _beside(folder: Path, count: int, conversions: int, seconds: float, begin: Any) -> list[Row]:
    """Measure how late the audio of PCM streams is, without and with conversions in the same worker."""
    rows: list[Row] = []
    with (
        LoadServer(core=cores()[0]) as server,
        installation("redis", server.settings, folder) as made,
    ):
        audio = speech(folder / "audio.wav", 2 * patience(count + conversions) + 4 * seconds)
        converted = _made(_KINDS[5], audio, folder)
        process = made.start_worker(slots=count + conversions + 100)
        try:
            process.ready()
            made.put(audio, count)
            until_open(server, count)
            for more in (0, conversions):
                begin(f"beside {more} conversions")
                if more:
                    made.put(converted, more)
                    until_open(server, count + more)
                time.sleep(3)
                server.reset()
                before = Reading.of(process.pid)
                time.sleep(seconds)
                after, stats = Reading.of(process.pid), server.stats()
                rows.append(
                    {
                        "conversions": more,
                        "core": (after.cpu - before.cpu) / (after.at - before.at),
                        **{f"late_{name}": stats["lateness"][name] for name in ("p50", "p99", "max")},
                        "failed": stats["failed"],
                    }
                )
        finally:
            process.kill()
            process.close()
    return rows
