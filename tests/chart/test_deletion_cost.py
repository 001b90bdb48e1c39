"""The container that writes the number of running jobs on its pod as the pod's deletion cost.

It runs against a fake metrics page and a fake Kubernetes API with TLS.
"""

import json
import ssl
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Empty, Queue

import pytest
import trustme

from ops.lib import children
from tests.chart.helm import CHART

SCRIPT = CHART / "files/deletion_cost.py"


class Cluster:
    """A fake of a worker's metrics page, and a fake API server that accepts patches."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.running = 3.0
        self.refuse = False
        self.patches: Queue[tuple[str, str, str]] = Queue()
        (folder / "token").write_text("a-token\n")
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(folder / "ca.crt"))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(context)
        metrics = self._serve(stack, self._page())
        api = self._serve(stack, self._api())
        api.socket = context.wrap_socket(api.socket, server_side=True)
        self.environment = {
            "METRICS_URL": f"http://127.0.0.1:{metrics.server_address[1]}/metrics",
            "KUBERNETES_SERVICE_HOST": "127.0.0.1",
            "KUBERNETES_SERVICE_PORT": str(api.server_address[1]),
            "TOKEN_FOLDER": str(folder),
            "POD_NAMESPACE": "speech",
            "POD_NAME": "worker-0",
            "PERIOD_SECONDS": "0.1",
        }

    @staticmethod
    def _serve(stack: ExitStack, handler: type[BaseHTTPRequestHandler]) -> ThreadingHTTPServer:
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        stack.callback(thread.join)
        stack.callback(server.server_close)
        stack.callback(server.shutdown)
        return server

    def _page(self) -> type[BaseHTTPRequestHandler]:
        cluster = self

        class Page(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = f"# TYPE corti_jobs_running gauge\ncorti_jobs_running {cluster.running}\n".encode()
                self.send_response(200)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        return Page

    def _api(self) -> type[BaseHTTPRequestHandler]:
        cluster = self

        class Api(BaseHTTPRequestHandler):
            def do_PATCH(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                cluster.patches.put((self.path, self.headers["Authorization"], body))
                self.send_response(403 if cluster.refuse else 200)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        return Api

    def next_cost(self) -> str:
        """Wait a few seconds for the next deletion cost that is written."""
        cost: str = json.loads(self.patches.get(timeout=10)[2])["metadata"]["annotations"][
            "controller.kubernetes.io/pod-deletion-cost"
        ]
        return cost


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with ExitStack() as stack:
        yield Cluster(tmp_path, stack)


@pytest.fixture
def script(cluster: Cluster) -> Iterator[children.Child]:
    process = children.start(
        [sys.executable, SCRIPT], env=cluster.environment, stdout=children.PIPE, text=True
    )
    with children.ended(process, 0):
        yield process


def test_it_patches_its_own_pod_with_its_token(cluster: Cluster, script: children.Child) -> None:
    path, authorization, body = cluster.patches.get(timeout=10)
    assert script.poll() is None
    assert path == "/api/v1/namespaces/speech/pods/worker-0"
    assert authorization == "Bearer a-token"
    assert json.loads(body) == {
        "metadata": {"annotations": {"controller.kubernetes.io/pod-deletion-cost": "3"}}
    }


def test_only_a_changed_number_is_written(cluster: Cluster, script: children.Child) -> None:
    assert cluster.next_cost() == "3"
    with pytest.raises(Empty):
        cluster.patches.get(timeout=0.5)
    cluster.running = 17.0
    assert cluster.next_cost() == "17"
    assert script.poll() is None


def test_a_refused_patch_is_logged_and_tried_again(cluster: Cluster, script: children.Child) -> None:
    cluster.refuse = True
    assert cluster.next_cost() == cluster.next_cost() == "3"
    assert script.stdout is not None
    assert json.loads(script.stdout.readline()) == {"event": "deletion_cost_not_noted", "error": "HTTPError"}


def test_it_ends_at_sigterm(cluster: Cluster, script: children.Child) -> None:
    cluster.next_cost()
    script.terminate()
    assert script.wait(5) == 0
