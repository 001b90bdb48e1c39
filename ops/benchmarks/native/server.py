"""Starts the load server, and reads its counters."""

import json
import os
import re
import ssl
import tempfile
import time
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import trustme

from ops.benchmarks.native.build import build
from ops.lib.process import ServerProcess

_READY = re.compile(rb'^\{"port": (\d+)\}$', re.MULTILINE)
_START_SECONDS = 10.0
_ANSWER_SECONDS = 30.0
_LOOK_SECONDS = 0.05


class LoadServer:
    """`loadserver` on a free port of 127.0.0.1, with a temporary certificate; a context manager.

    Args:
        core: Number of the core that the server is pinned to; None does not pin it.
        pace: Speed at which clients send audio, as a multiple of real time.
        bytes_per_second: Bytes of audio per second, at pace 1.
        segment_every: Seconds of audio for each transcript.
        token_lifetime: Lifetime of tokens in seconds.
    """

    def __init__(
        self,
        *,
        core: int | None = None,
        pace: float = 1.0,
        bytes_per_second: float = 32_000,
        segment_every: float = 1.0,
        token_lifetime: float = 300,
    ) -> None:
        self._core = core
        self._options = {
            "pace": pace,
            "bytes-per-second": bytes_per_second,
            "segment-every": segment_every,
            "token-lifetime": token_lifetime,
        }
        self._stack = ExitStack()
        self._opener: urllib.request.OpenerDirector
        self._process: ServerProcess
        self.ca_file: Path
        self.port = 0

    def __enter__(self) -> Self:
        program = build("loadserver")
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="corti-loadserver-")))
            authority = trustme.CA()
            leaf = authority.issue_cert("127.0.0.1", "localhost")
            self.ca_file = folder / "ca.pem"
            authority.cert_pem.write_to_path(str(self.ca_file))
            leaf.private_key_pem.write_to_path(str(folder / "key.pem"))
            leaf.cert_chain_pems[0].write_to_path(str(folder / "cert.pem"))
            options = [f"--{name}={value}" for name, value in self._options.items()]
            self._process = ServerProcess(
                "the load server",
                [str(program), f"--cert={folder / 'cert.pem'}", f"--key={folder / 'key.pem'}", *options],
                log=folder / "log",
            )
            self._process.start(lambda: self._listening(folder / "log"), timeout_s=_START_SECONDS)
            stack.callback(self._process.stop)
            if self._core is not None:
                os.sched_setaffinity(self._process.pid, {self._core})
            context = ssl.create_default_context(cafile=str(self.ca_file))
            self._opener = urllib.request.build_opener(
                urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context)
            )
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def pid(self) -> int:
        """The server's process id."""
        return self._process.pid

    @property
    def url(self) -> str:
        """`https://127.0.0.1:PORT`."""
        return f"https://127.0.0.1:{self.port}"

    @property
    def stream_url(self) -> str:
        """`wss://127.0.0.1:PORT`: the URL for `ops.benchmarks.subjects.Load`."""
        return f"wss://127.0.0.1:{self.port}"

    @property
    def settings(self) -> dict[str, str]:
        """The environment variables for a worker that uses this server as its service."""
        return {
            "CORTI_CLIENT_ID": "bench",
            "CORTI_CLIENT_SECRET": "bench-secret",
            "CORTI_TENANT": "base",
            "CORTI_AUTH_URL": self.url,
            "CORTI_API_URL": f"{self.url}/v2",
            "CORTI_CA_FILE": str(self.ca_file),
        }

    def stats(self) -> dict[str, Any]:
        """Return the counters since `reset`, `lateness` in ms and the server's `cpu_seconds`; see stats.c."""
        answer: dict[str, Any] = self._ask("/stats")
        return answer

    def streams(self) -> list[dict[str, Any]]:
        """Return the last 16,384 streams, oldest first.

        Times are in seconds of `time.monotonic()`, and 0 for what has not happened. The answer takes the
        server some tens of milliseconds, so call this after a measurement.
        """
        answer: list[dict[str, Any]] = self._ask("/streams")
        return answer

    def reset(self) -> None:
        """Set the counters and the histogram of lateness to zero. Open streams are not affected."""
        self._ask("/reset", b"")

    def wait_open(self, count: int, seconds: float) -> None:
        """Wait until `count` streams are open.

        Raises:
            TimeoutError: That took longer than `seconds`.
        """
        deadline = time.monotonic() + seconds
        while (stats := self.stats())["open"] < count:
            if time.monotonic() > deadline:
                raise TimeoutError(
                    f"{stats['open']:,} of {count:,} streams were open after {seconds:.0f} s; "
                    f"{stats['failed']:,} failed"
                )
            time.sleep(_LOOK_SECONDS)

    def _ask(self, path: str, body: bytes | None = None) -> Any:
        with self._opener.open(self.url + path, body, _ANSWER_SECONDS) as response:
            return json.load(response)

    def _listening(self, log: Path) -> bool:
        found = _READY.search(log.read_bytes())
        self.port = int(found[1]) if found else 0
        return found is not None
