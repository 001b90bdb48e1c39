"""A script that follows the vendor's quick start, with two threads for each stream.

It gets the token and the interaction by `requests` without a session, and uses a `WebSocketApp` with its
callbacks and a second thread that sends a chunk and sleeps. As in such a script, each connection makes a TLS
context of its own and loads all authorities into it. Here these are the bundle of `requests`, which a real
script loads, and the authority of the benchmark.

The sleep between two chunks does not subtract the time that sending took. So the audio falls behind with
every chunk, as in such a script, and the measured lateness shows this.
"""

import json
import os
import signal
import tempfile
import threading
import time
from itertools import count
from pathlib import Path
from typing import Any
from uuid import uuid4

import certifi
import requests
import websocket

from ops.benchmarks.subjects.common import CONFIG, Options, Report


class Consultation:
    """One stream."""

    def __init__(self, options: Options, report: Report, chunks: list[bytes], bundle: str) -> None:
        self._options, self._report, self._chunks, self._bundle = options, report, chunks, bundle

    def run(self) -> None:
        """Get a token, create an interaction and stream; return when the stream is lost."""
        try:
            url = self._create()
        except requests.RequestException:
            self._report.failed()
            return
        self._began = time.monotonic()
        app = websocket.WebSocketApp(url, on_open=self._on_open, on_message=self._on_message)
        app.run_forever(sslopt={"ca_certs": self._bundle})
        self._report.failed()

    def _create(self) -> str:
        base = self._options.rest_url
        answer = requests.post(
            f"{base}/realms/base/protocol/openid-connect/token",
            data={
                "client_id": "bench",
                "client_secret": "bench",
                "grant_type": "client_credentials",
                "scope": "openid",
            },
            verify=self._bundle,
            timeout=30,
        )
        answer.raise_for_status()
        token = answer.json()["access_token"]
        created = requests.post(
            f"{base}/v2/interactions",
            json={"encounter": {"identifier": str(uuid4()), "status": "planned", "type": "consultation"}},
            headers={"Authorization": f"Bearer {token}", "Tenant-Name": "base"},
            verify=self._bundle,
            timeout=30,
        )
        created.raise_for_status()
        return f"{created.json()['websocketUrl']}&token=Bearer%20{token}"

    def _on_open(self, app: Any) -> None:
        app.send(CONFIG)

    def _on_message(self, app: Any, text: str) -> None:
        message = json.loads(text)
        if message["type"] == "CONFIG_ACCEPTED":
            self._report.connected(self._began)
            threading.Thread(target=self._send_audio, args=[app], daemon=True).start()

    def _send_audio(self, app: Any) -> None:
        try:
            for turn in count():
                app.send(self._chunks[turn % len(self._chunks)], opcode=websocket.ABNF.OPCODE_BINARY)
                time.sleep(self._options.chunk)
        except (OSError, websocket.WebSocketException):
            app.close()


def _bundle(folder: str, ca: Path) -> str:
    path = Path(folder) / "ca.pem"
    path.write_bytes(Path(certifi.where()).read_bytes() + ca.read_bytes())
    return str(path)


def main() -> None:
    """Run all streams, and print the two lines of output."""
    options = Options.read()
    ready = threading.Event()
    report = Report(options.streams, on_ready=ready.set)
    chunks = options.chunks()
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM])
    with tempfile.TemporaryDirectory(prefix="corti-quickstart-") as folder:
        bundle = _bundle(folder, options.ca)
        start = time.monotonic()
        for number in range(options.streams):
            time.sleep(max(0.0, start + options.opens_after(number) - time.monotonic()))
            consultation = Consultation(options, report, chunks, bundle)
            threading.Thread(target=consultation.run, daemon=True).start()
        while not ready.is_set():
            if signal.sigtimedwait([signal.SIGTERM], 0.05):
                break
        else:
            signal.sigtimedwait([signal.SIGTERM], options.seconds)
        report.finish()
    # Not a normal exit, because threads that are still in a call would print errors.
    os._exit(0)


if __name__ == "__main__":
    main()
