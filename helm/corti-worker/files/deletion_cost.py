"""Writes the number of jobs that this pod's worker runs into the pod's annotation `pod-deletion-cost`.

A scale-down removes pods with a low cost first, and so the workers with the fewest jobs. This program runs
in a container of its own, the only one with a token for the Kubernetes API, and uses only the standard
library. An error is logged, and the next update follows after the usual period: nothing depends on the
annotation.
"""

import json
import os
import re
import signal
import ssl
import sys
import threading
import urllib.request
from collections.abc import Mapping
from pathlib import Path

ANNOTATION = "controller.kubernetes.io/pod-deletion-cost"
_TOKEN_FOLDER = "/run/secrets/kubernetes.io/serviceaccount"  # noqa: S105  # a path
_RUNNING = re.compile(r"^corti_jobs_running (\S+)$", re.MULTILINE)
_TIMEOUT = 5.0


def running_jobs(metrics_url: str) -> int:
    """Ask the worker how many jobs it runs.

    Raises:
        OSError: The worker does not answer.
        ValueError: The answer does not contain `corti_jobs_running`.
    """
    # The worker answers on the loopback address, which no proxy reaches.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(metrics_url, timeout=_TIMEOUT) as response:
        found = _RUNNING.search(response.read().decode())
    if found is None:
        raise ValueError(f"{metrics_url} has no corti_jobs_running")
    return int(float(found[1]))


def annotate(environment: Mapping[str, str], cost: int) -> None:
    """Write `cost` into this pod's annotation.

    Args:
        environment: Kubernetes' variables, `POD_NAMESPACE`, `POD_NAME`, and perhaps `TOKEN_FOLDER`.
        cost: The number of running jobs.

    Raises:
        OSError: The Kubernetes API does not answer, or refuses the request.
    """
    folder = Path(environment.get("TOKEN_FOLDER", _TOKEN_FOLDER))
    host, port = environment["KUBERNETES_SERVICE_HOST"], environment["KUBERNETES_SERVICE_PORT"]
    authority = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    pod = f"namespaces/{environment['POD_NAMESPACE']}/pods/{environment['POD_NAME']}"
    request = urllib.request.Request(  # always https
        f"https://{authority}/api/v1/{pod}",
        json.dumps({"metadata": {"annotations": {ANNOTATION: str(cost)}}}).encode(),
        {
            # Read for each request, because Kubernetes replaces the token every hour.
            "Authorization": f"Bearer {(folder / 'token').read_text().strip()}",
            "Content-Type": "application/merge-patch+json",
        },
        method="PATCH",
    )
    handlers = (
        urllib.request.ProxyHandler({}),
        urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=str(folder / "ca.crt"))),
    )
    with urllib.request.build_opener(*handlers).open(request, timeout=_TIMEOUT):
        pass


def main(environment: Mapping[str, str]) -> int:
    """Update the annotation every `PERIOD_SECONDS` until SIGTERM or SIGINT."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    period = float(environment["PERIOD_SECONDS"])
    noted: int | None = None
    while not stop.is_set():
        try:
            running = running_jobs(environment["METRICS_URL"])
            # Each update is a write to the cluster's etcd, so only changes are written.
            if running != noted:
                annotate(environment, running)
                noted = running
        except (OSError, ValueError) as error:
            print(json.dumps({"event": "deletion_cost_not_noted", "error": type(error).__name__}), flush=True)
        stop.wait(period)
    return 0


if __name__ == "__main__":
    sys.exit(main(os.environ))
