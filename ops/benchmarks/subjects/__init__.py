"""The clients that are measured beside the worker; all take the same arguments, see `Load`.

Each opens its streams over the seconds of the ramp, sends a chunk of audio to each at that stream's own
time, reads the transcripts, and prints two lines of JSON on stdout:

    {"ready": true, "failures": 0}                                     every stream streams (or has failed)
    {"failures": 0, "connect_ms": {"n": 5, "p50": 12.1, "p99": 20.7}}  at the end

The end comes after the seconds of the load, counted from the first line, or at SIGTERM. Streams are
cut off then: read the server's counters before. What a client costs is measured from outside, on the
process and its children.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ops.benchmarks.native.build import build

_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Load:
    """What a subject shall do.

    Attributes:
        url: `wss://127.0.0.1:PORT` of a load server.
        ca: PEM file of the authority that signed its certificate.
        streams: How many.
        seconds: How long to go on once all of them stream.
        ramp: Seconds over which they are opened.
        chunk_ms: Milliseconds of audio in a chunk.
    """

    url: str
    ca: Path
    streams: int
    seconds: float
    ramp: float
    chunk_ms: int = 250

    def arguments(self) -> list[str]:
        """As arguments of a subject's program."""
        return [
            f"--url={self.url}",
            f"--ca={self.ca}",
            f"--streams={self.streams}",
            f"--seconds={self.seconds}",
            f"--ramp={self.ramp}",
            f"--chunk-ms={self.chunk_ms}",
        ]


@dataclass(frozen=True)
class Subject:
    """A client.

    Attributes:
        label: How tables and plots call it.
        max_streams: More than this is not worth trying on one core.
        command: The command line for a load. It runs in the repository's root directory.
    """

    label: str
    max_streams: int
    command: Callable[[Load], list[str]]


def _python(module: str) -> Callable[[Load], list[str]]:
    return lambda load: [sys.executable, "-m", f"ops.benchmarks.subjects.{module}", *load.arguments()]


def _node(script: str) -> Callable[[Load], list[str]]:
    # The vendor's SDK has no option for a certificate authority; this is Node's own way.
    return lambda load: [
        "env",
        f"NODE_EXTRA_CA_CERTS={load.ca}",
        "node",
        str(_HERE / "node" / script),
        *load.arguments(),
    ]


SUBJECTS = {
    "floor": Subject("C, epoll (the floor)", 16_000, lambda load: [str(build("floor")), *load.arguments()]),
    "corti_sdk": Subject("@corti/sdk on Node", 8_000, _node("corti_sdk.mjs")),
    "ws_node": Subject("ws on Node", 8_000, _node("ws_node.mjs")),
    "websockets_asyncio": Subject("websockets, asyncio + uvloop", 8_000, _python("websockets_asyncio")),
    "picows_asyncio": Subject("picows, asyncio + uvloop", 8_000, _python("picows_asyncio")),
    "quickstart": Subject("quick-start script, threads", 2_000, _python("quickstart")),
    "process_per_job": Subject("quick-start script, a process per job", 100, _python("process_per_job")),
}
