"""Runs containers as the chart's rendered pods define them, with the images that ops/image built."""

import os
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from uuid import uuid4

from tests.chart.helm import ROOT, Rendered, container, environment

IMAGE = ROOT / "ops/image"
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def podman(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run podman on the images that ops/image built."""
    done = subprocess.run([IMAGE, "podman", *arguments], capture_output=True, text=True, check=False)
    if check and done.returncode != 0:
        raise AssertionError(f"podman {arguments[0]}: {done.stdout}{done.stderr}")
    return done


def hardening(pod: Mapping[str, Any], spec: Mapping[str, Any]) -> list[str]:
    """A pod's security contexts as options of podman."""
    who, what = pod["securityContext"], spec["securityContext"]
    options = ["--user", f"{who['runAsUser']}:{who['runAsGroup']}"]
    options += ["--read-only", "--read-only-tmpfs=false"] if what["readOnlyRootFilesystem"] else []
    options += [] if what["allowPrivilegeEscalation"] else ["--security-opt", "no-new-privileges"]
    options += [option for name in what["capabilities"]["drop"] for option in ("--cap-drop", name)]
    # podman's own limits are more than a container without that right may set.
    return [*options, "--ulimit", "nofile=4096:4096", "--ulimit", "nproc=2048:2048"]


class Container:
    """A container of a rendered pod: its command, environment, user, mounts, probes.

    Args:
        rendered: The rendered chart.
        pod: The rendered pod.
        name: The name of the container in the pod.
        secrets: Texts of the mounted Secrets, by path.
        folder: The folder for the mounted files.
    """

    def __init__(
        self,
        rendered: Rendered,
        pod: Mapping[str, Any],
        name: str,
        secrets: Mapping[str, str],
        folder: Path,
    ) -> None:
        self.name = f"corti-test-{uuid4().hex[:12]}"
        self.pod = pod
        self.spec = container(dict(pod), name)
        variables = environment(rendered, dict(pod), name)
        mounts = {mount["name"]: mount for mount in self.spec["volumeMounts"]}
        group = pod["securityContext"]["fsGroup"]
        for path, text in secrets.items():
            file = folder / path
            file.write_text(text)
            os.chown(file, 0, group)
            file.chmod(0o440)
        # Mount the folder itself: the container's user may have no access to the folders above it.
        folder.chmod(0o755)
        command = list(self.spec.get("command", []))
        podman(
            *("run", "--detach", "--name", self.name, "--network", "host", *hardening(pod, self.spec)),
            *(option for item in variables.items() for option in ("--env", "=".join(item))),
            *("--volume", f"{folder}:{mounts['secrets']['mountPath']}:ro"),
            *("--tmpfs", "/tmp:mode=1777") if "tmp" in mounts else (),  # noqa: S108  # the pod's emptyDir
            *(option for part in command[:1] for option in ("--entrypoint", part)),
            "localhost/corti-worker:dev",
            *command[1:],
            *self.spec.get("args", []),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        podman("rm", "--force", "--time", "0", self.name, check=False)

    def probe(self, which: str, port: int) -> int:
        """The HTTP status that a probe of the pod gets; 0 without an answer."""
        path = self.spec[f"{which}Probe"]["httpGet"]["path"]
        try:
            with _OPENER.open(f"http://127.0.0.1:{port}{path}", timeout=5) as response:
                return int(response.status)
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return 0

    def wait_for(self, which: str, port: int, seconds: float) -> float:
        """Wait until a probe succeeds, as the kubelet does; return how long that took."""
        began = time.monotonic()
        while self.probe(which, port) != 200:
            assert self.running(), f"the container ended\n{self.log()}"
            assert time.monotonic() - began < seconds, f"no {which} within {seconds} s\n{self.log()}"
            time.sleep(0.1)
        return time.monotonic() - began

    def running(self) -> bool:
        """Whether the container's first process runs."""
        return podman("inspect", "--format", "{{.State.Running}}", self.name).stdout.strip() == "true"

    def signal(self, name: str) -> None:
        """Send a signal to the container's first process, as the kubelet does."""
        podman("kill", "--signal", name, self.name)

    def wait(self, seconds: float) -> int:
        """Wait until the container has ended; return its exit code."""
        began = time.monotonic()
        while self.running():
            assert time.monotonic() - began < seconds, f"not ended within {seconds} s\n{self.log()}"
            time.sleep(0.1)
        return int(podman("inspect", "--format", "{{.State.ExitCode}}", self.name).stdout)

    def log(self) -> str:
        """The container's output."""
        done = podman("logs", self.name, check=False)
        return done.stdout + done.stderr

    def changed_files(self) -> list[str]:
        """The files that were changed in the container's root file system."""
        return podman("diff", self.name, check=False).stdout.split("\n")
