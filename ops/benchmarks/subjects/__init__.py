"""The clients that the worker is compared with. All take the same arguments, see `Load`.

Each client opens its streams during the ramp, sends chunks of audio on each stream at the stream's own times,
reads the transcripts, and prints two lines of JSON to stdout:

    {"ready": true, "failures": 0}                                     every stream streams (or has failed)
    {"failures": 0, "connect_ms": {"n": 5, "p50": 12.1, "p99": 20.7}}  at the end

A client ends `Load.seconds` after its first line, or at SIGTERM. It then closes no stream properly: read
the server's counters before. The cost of a client is measured from outside, on the process and its children.
"""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from ops.benchmarks.native.build import build

_HERE = Path(__file__).parent


@dataclass(frozen=True)
class Load:
    """The load that a subject has to carry.

    Attributes:
        url: `wss://127.0.0.1:PORT` of a load server.
        ca: PEM file of the authority that signed its certificate.
        streams: Number of streams.
        seconds: Seconds of streaming once all streams are open.
        ramp: Seconds over which the streams are opened.
        chunk_ms: Milliseconds of audio in a chunk.
    """

    url: str
    ca: Path
    streams: int
    seconds: float
    ramp: float
    chunk_ms: int = 250

    def arguments(self) -> list[str]:
        """Return the load as command-line arguments of a subject."""
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
        label: A description.
        max_streams: Maximum number of streams that is measured on one core.
        command: Returns the command line for a load. It runs in the root directory of the repository.
    """

    label: str
    max_streams: int
    command: Callable[[Load], list[str]]


def _python(module: str) -> Callable[[Load], list[str]]:
    return lambda load: [sys.executable, "-m", f"ops.benchmarks.subjects.{module}", *load.arguments()]


def _node(script: str) -> Callable[[Load], list[str]]:
    # The vendor's SDK has no option for a certificate authority, but Node has this variable.
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
