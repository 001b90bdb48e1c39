"""A real Prometheus in a temporary directory, for the pictures of the dashboards and for tests."""

import json
import shutil
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from ops.lib.ports import PortClaim
from ops.lib.process import ServerProcess

_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
_START_TIMEOUT_S = 20.0


def available() -> tuple[bool, str]:
    """Whether Prometheus and promtool are installed, and if not, what to do."""
    missing = [name for name in ("prometheus", "promtool") if shutil.which(name) is None]
    return (
        not missing,
        f"{' and '.join(missing)} not found: run `apt-get install prometheus` (Debian's package)",
    )


class PrometheusServer:
    """A Prometheus that scrapes targets on 127.0.0.1 every second. Use it as a context manager.

    Args:
        targets: Port of each target, by the value of its label `pod`.
        rules: Rule files.
    """

    def __init__(self, targets: Mapping[str, int], rules: Sequence[Path] = ()) -> None:
        self._claim = PortClaim()
        (self.port,) = self._claim.ports
        # The interpreter removes it at its exit if the context was not left.
        self._folder = tempfile.TemporaryDirectory(prefix="corti-prometheus-", ignore_cleanup_errors=True)
        self._directory = Path(self._folder.name)
        configuration = {
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
            "rule_files": [str(path.resolve()) for path in rules],
            "scrape_configs": [
                {
                    "job_name": "corti-worker",
                    "static_configs": [
                        {"targets": [f"127.0.0.1:{port}"], "labels": {"pod": pod}}
                        for pod, port in targets.items()
                    ],
                }
            ],
        }
        # JSON is valid YAML.
        (self._directory / "prometheus.yaml").write_text(json.dumps(configuration))
        self._process = ServerProcess(
            "Prometheus",
            [
                "prometheus",
                f"--config.file={self._directory / 'prometheus.yaml'}",
                f"--storage.tsdb.path={self._directory / 'data'}",
                f"--web.listen-address=127.0.0.1:{self.port}",
            ],
            log=self._directory / "server.log",
        )

    def query(self, expression: str, start: float, end: float, step: float) -> list[dict[str, Any]]:
        """Evaluate a PromQL expression from `start` to `end` and return the series as the HTTP API does.

        Args:
            expression: In PromQL.
            start: Seconds since the epoch.
            end: Seconds since the epoch.
            step: Seconds between two samples.

        Raises:
            RuntimeError: Prometheus refused the request; the text has its reason.
        """
        question = {"query": expression, "start": start, "end": end, "step": step}
        url = f"http://127.0.0.1:{self.port}/api/v1/query_range?{urllib.parse.urlencode(question)}"
        try:
            with _OPENER.open(url, timeout=30) as response:
                series: list[dict[str, Any]] = json.load(response)["data"]["result"]
        except urllib.error.HTTPError as error:
            with error:
                raise RuntimeError(f"{expression}: {error.read().decode(errors='replace')}") from None
        return series

    def __enter__(self) -> Self:
        try:
            self._process.start(self._ready, timeout_s=_START_TIMEOUT_S)
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close()

    def _close(self) -> None:
        self._process.stop()
        self._claim.release()
        self._folder.cleanup()

    def _ready(self) -> bool:
        try:
            with _OPENER.open(f"http://127.0.0.1:{self.port}/-/ready", timeout=1) as response:
                return bool(response.status == 200)  # noqa: PLR2004
        except OSError:
            return False
