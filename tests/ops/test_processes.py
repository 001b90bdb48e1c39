"""Our commands end everything that they started, whatever ends them."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import pytest

from ops.benchmarks.native import build
from ops.lib import children, prometheus_server
from ops.lib.servers import RabbitMqServer, RedisServer
from tests.conftest import require

ROOT = Path(__file__).parents[2]
PYTHON = (sys.executable, "-m")
WORKER = "-m worker run"
TERM, INT, HUP, KILL = signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGKILL

pytestmark = pytest.mark.usefixtures("heeded_signals")


@dataclass
class Run:
    """A command in a session of its own; a mark in the environment identifies its descendants."""

    command: tuple[str, ...]
    folder: Path

    def __post_init__(self) -> None:
        self.mark = f"TEST_OF_PROCESSES={uuid4()}"
        self.temporary = Path(tempfile.mkdtemp(prefix="processes-"))
        name, _, value = self.mark.partition("=")
        self.log = self.folder / "log"
        with self.log.open("wb") as log:
            self.process = children.start(
                self.command,
                cwd=ROOT,
                env={**os.environ, name: value, "PYTHONPATH": str(ROOT), "TMPDIR": str(self.temporary)},
                stdout=log,
                stderr=log,
            )

    def alive(self) -> dict[int, str]:
        """The running ones of the command and its descendants: command lines by process id."""
        found = {}
        for folder in Path("/proc").iterdir():
            if folder.name.isdecimal():
                try:
                    # Redis overwrites its environment with its process title; its directory identifies it.
                    marked = self.mark.encode() in (folder / "environ").read_bytes()
                    if marked or (folder / "cwd").readlink().is_relative_to(self.temporary):
                        line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
                        found[int(folder.name)] = line
                except OSError:
                    continue  # the process has just ended, or belongs to another user
        return found

    def until(self, pattern: str, seconds: float = 60) -> None:
        """Wait until a descendant's command line or the output contains a text."""
        deadline = time.monotonic() + seconds
        while not any(pattern in line for line in self.alive().values()) and pattern not in self.text():
            assert self.process.poll() is None, f"it ended too early\n{self.text()}"
            assert time.monotonic() < deadline, f"no {pattern} in {self.alive()}\n{self.text()}"
            time.sleep(0.05)

    def nobody_is_left(self, seconds: float) -> None:
        """Wait until the command and all its descendants have ended."""
        deadline = time.monotonic() + seconds
        while self.alive():
            left = "\n".join(self.alive().values())
            assert time.monotonic() < deadline, f"after {seconds} s there are still\n{left}\n{self.text()}"
            time.sleep(0.05)

    def left_files(self) -> list[str]:
        """The command's temporary files that are left, without those of ports, which all commands share."""
        return [path.name for path in self.temporary.iterdir() if "-ports-" not in path.name]

    def text(self) -> str:
        """What the command printed, and the logs of its workers."""
        logs = [self.log, *self.temporary.glob("*/worker*.log")]
        return "\n".join(path.read_text(errors="replace") for path in logs if path.exists())

    def close(self) -> None:
        """Kill every process that a failed test left."""
        for pid in self.alive():
            os.kill(pid, signal.SIGKILL)
        children.kill(self.process)
        shutil.rmtree(self.temporary, ignore_errors=True)


@pytest.fixture
def runs(tmp_path: Path) -> Iterator[list[Run]]:
    require(Path("/proc/self/environ").exists(), "only /proc tells whose descendants a process has")
    made: list[Run] = []
    yield made
    for run in made:
        run.close()


def start(runs: list[Run], tmp_path: Path, *command: str) -> Run:
    runs.append(Run(command, tmp_path))
    return runs[-1]


def end(run: Run, number: signal.Signals, seconds: float = 15) -> None:
    """Send a signal to the command alone, and assert that all its processes end (SIGKILL: in about 3 s)."""
    run.process.send_signal(number)
    run.nobody_is_left(seconds)
    if number is KILL:
        assert run.process.wait() == -KILL
    else:
        assert run.process.wait() == 128 + number, run.text()
        assert run.left_files() == []


def frozen(pid: int) -> bool:
    """Whether a process was stopped by SIGSTOP."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


@pytest.mark.parametrize("number", [TERM, INT, HUP, KILL])
def test_the_demo_ends_what_it_started(runs: list[Run], tmp_path: Path, number: signal.Signals) -> None:
    require(*RedisServer.available())
    run = start(runs, tmp_path, *PYTHON, "ops.lib.demo", "--pace", "0.5")
    run.until("worker ready")
    end(run, number)


@pytest.mark.parametrize("number", [TERM, KILL])
def test_the_demo_ends_rabbitmq(runs: list[Run], tmp_path: Path, number: signal.Signals) -> None:
    require(*RabbitMqServer.available())
    run = start(runs, tmp_path, *PYTHON, "ops.lib.demo", "--pace", "0.5", "--broker", "rabbitmq")
    run.until("worker ready")
    assert any("beam.smp" in line for line in run.alive().values())
    end(run, number)


def test_the_two_signals_of_timeout_count_as_one(runs: list[Run], tmp_path: Path) -> None:
    require(*RedisServer.available())
    # `timeout` sends its signal to the command and once more to the command's group.
    run = start(runs, tmp_path, "timeout", "600", *PYTHON, "ops.lib.demo", "--pace", "0.5")
    run.until("worker ready")
    run.process.send_signal(TERM)
    run.nobody_is_left(15)
    assert run.left_files() == []


def test_a_command_ends_while_its_servers_start(runs: list[Run], tmp_path: Path) -> None:
    require(*RabbitMqServer.available())
    run = start(runs, tmp_path, *PYTHON, "ops.lib.demo", "--broker", "rabbitmq")
    run.until("rabbitmq-server")
    end(run, TERM)


@pytest.mark.parametrize(("name", "number"), [("jobs", HUP), ("streams", KILL)])
def test_a_benchmark_ends_what_it_started(
    runs: list[Run], tmp_path: Path, name: str, number: signal.Signals
) -> None:
    require(*build.available())
    require(*RedisServer.available())
    run = start(runs, tmp_path, *PYTHON, "ops.benchmarks", name, "--quick")
    run.until(WORKER)
    end(run, number)


def test_a_benchmark_ends_the_processes_of_its_subject(runs: list[Run], tmp_path: Path) -> None:
    require(*build.available())
    options = ("--subjects", "quickstart", "--streams", "20", "--rounds", "1")
    run = start(runs, tmp_path, *PYTHON, "ops.benchmarks", "streams", *options)
    run.until("ops.benchmarks.subjects.quickstart")
    end(run, KILL)


@pytest.mark.parametrize("number", [TERM, KILL])
def test_a_benchmark_ends_its_fleet_of_processes(
    runs: list[Run], tmp_path: Path, number: signal.Signals
) -> None:
    require(*build.available())
    require(*RedisServer.available())
    run = start(runs, tmp_path, *PYTHON, "ops.benchmarks", "tokens", "--quick")
    run.until("forkserver")
    end(run, number)


@pytest.mark.parametrize("number", [INT, KILL])
def test_the_soak_ends_what_it_started(runs: list[Run], tmp_path: Path, number: signal.Signals) -> None:
    require(*RedisServer.available())
    run = start(runs, tmp_path, *PYTHON, "ops.soak", "--broker", "redis")
    run.until(WORKER)
    end(run, number)


def test_the_soak_ends_in_the_middle_of_a_fault(runs: list[Run], tmp_path: Path) -> None:
    require(*RedisServer.available())
    run = start(runs, tmp_path, *PYTHON, "ops.soak", "--broker", "redis", "--only", "freeze_redis")
    deadline = time.monotonic() + 60
    while not any(frozen(pid) for pid, line in run.alive().items() if "-server" in line):
        assert time.monotonic() < deadline, run.text()
        time.sleep(0.05)
    end(run, INT)


def test_the_rendering_of_dashboards_ends_what_it_started(runs: list[Run], tmp_path: Path) -> None:
    require(*prometheus_server.available())
    require(*RedisServer.available())
    run = start(runs, tmp_path, *PYTHON, "ops.dashboards.picture", "--to", str(tmp_path / "png"))
    run.until("--config.file")
    end(run, TERM)


@pytest.mark.parametrize("number", [TERM, INT, HUP, KILL])
def test_the_sandbox_ends_its_processes(runs: list[Run], tmp_path: Path, number: signal.Signals) -> None:
    run = start(runs, tmp_path, *PYTHON, "ops.sandbox", "--recognise")
    run.until('"stats_url"')
    run.process.send_signal(number)
    run.nobody_is_left(15)
    if number is not KILL:
        assert run.process.wait() == 0
        assert run.left_files() == []


@pytest.mark.parametrize("number", [TERM, KILL])
def test_the_test_run_ends_its_servers(runs: list[Run], tmp_path: Path, number: signal.Signals) -> None:
    require(*RedisServer.available())
    slow = tmp_path / "test_slow.py"
    slow.write_text(
        "import time\nfrom tests.conftest import *\n"
        "def test_slow(redis_url):\n    print('a server runs')\n    time.sleep(600)\n"
    )
    options = (
        "-p",
        "no:cacheprovider",
        "-n",
        "1",
        "--rootdir",
        str(ROOT),
        "-c",
        str(ROOT / "pyproject.toml"),
    )
    run = start(runs, tmp_path, *PYTHON, "ops.lib.checks", "unit", *options, "-k", "slow", str(slow))
    # The server's command line contains this before and after it has set its process title.
    run.until("-server")
    run.process.send_signal(number)
    run.nobody_is_left(30)


def test_signals_that_the_parent_ignores_stay_ignored(runs: list[Run], tmp_path: Path) -> None:
    run = start(runs, tmp_path, "nohup", *PYTHON, "ops.lib.demo", "--pace", "0.5")
    run.until("starting a worker")
    run.process.send_signal(HUP)
    run.until("worker ready")
    assert run.process.poll() is None
    end(run, TERM)


@pytest.mark.parametrize("number", [TERM, KILL])
def test_a_shell_script_ends_with_all_that_it_started(
    runs: list[Run], tmp_path: Path, number: signal.Signals
) -> None:
    alone = (sys.executable, "-I", str(ROOT / "ops/lib/alone.py"))
    run = start(runs, tmp_path, *alone, "bash", "-c", "sleep 601 & echo u'p'; sleep 602; echo went on")
    run.until("up\n")
    end(run, number)
    assert "went on" not in run.text()


@pytest.mark.parametrize("name", ["image", "pins/update"])
def test_commands_that_remain_shell_scripts_run_under_the_watcher(name: str) -> None:
    assert f'exec python3 -I ops/lib/alone.py bash ops/{name} "$@"' in (ROOT / "ops" / name).read_text()


@pytest.mark.parametrize("name", ["demo", "bench", "test", "dashboards/render"])
def test_no_shell_stands_between_a_command_and_its_signals(name: str) -> None:
    # The last step of each script is `exec ops/setup`, which execs the command: see test_environment.py.
    last = (ROOT / "ops" / name).read_text().rstrip().rpartition("\n")[2]
    assert "exec " in last
    assert "--run ops." in last


def test_a_frozen_server_and_the_child_of_a_child_end_with_a_killed_parent(
    runs: list[Run], tmp_path: Path
) -> None:
    program = (
        "import os, signal, time\nfrom ops.lib import children\n"
        "leader = children.start(['sh', '-c', 'sleep 601 & sleep 602'])\n"
        "frozen = children.start(['sleep', '603'])\n"
        "time.sleep(0.5)\nos.kill(frozen.pid, signal.SIGSTOP)\n"
        "print('u' + 'p', flush=True)\ntime.sleep(600)\n"
    )
    run = start(runs, tmp_path, sys.executable, "-c", program)
    run.until("up\n")
    assert len(run.alive()) == 6
    end(run, KILL)


def test_a_second_signal_ends_a_command_that_hangs(runs: list[Run], tmp_path: Path) -> None:
    deaf = tmp_path / "deaf"
    program = (
        "import time\nfrom pathlib import Path\nfrom ops.lib import children, ending\n"
        "ending.catch_signals()\n"
        f"child = children.start(['sh', '-c', 'trap : TERM; touch {deaf}; while :; do sleep 601; done'])\n"
        "with children.ended(child, 600):\n"
        f"    while not Path({str(deaf)!r}).exists():\n        time.sleep(0.01)\n"
        "    print('u' + 'p', flush=True)\n    time.sleep(600)\n"
    )
    run = start(runs, tmp_path, sys.executable, "-c", program)
    run.until("up\n")
    run.process.send_signal(TERM)
    time.sleep(1.5)
    assert run.process.poll() is None, "the first signal must let the child end by itself"
    run.process.send_signal(TERM)
    run.nobody_is_left(6)


def test_a_signal_during_a_held_section_is_raised_after_it() -> None:
    program = (
        "import os, signal\nfrom ops.lib import ending\nending.catch_signals()\n"
        "try:\n"
        "    with ending.held():\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "        print('whole')\n"
        "except ending.Ended:\n    print('then raised')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split("\n")[:2] == ["whole", "then raised"]
