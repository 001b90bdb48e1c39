"""ops/setup: when it makes the environment anew, when it keeps it, and what it prints."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ops.lib import children, environment
from tests.contract.waiting import eventually
from tests.ops.test_redis_server import is_alive

ROOT = Path(__file__).parents[2]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the files that ops/setup reads, below a path with a space."""
    root = tmp_path / "my checkout"
    library = ("__init__", "children", "ending", "environment", "watcher")
    for name in ("pyproject.toml", "ops/__init__.py", "ops/setup", *(f"ops/lib/{one}.py" for one in library)):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, root / name)
    shutil.copytree(ROOT / "ops/pins", root / "ops/pins")
    return root.resolve()


def pretend_made(root: Path, name: str, *, made_in: str | None = None) -> None:
    """Make an environment as a complete run of `ops/setup <name>` leaves it, but without packages."""
    (root / ".venv/bin").mkdir(parents=True, exist_ok=True)
    (root / ".venv/bin/python").unlink(missing_ok=True)
    (root / ".venv/bin/python").symlink_to(sys.executable)
    stamp = {"name": name, "root": made_in or str(root), "digest": environment.digest(root, name)}
    (root / ".venv" / environment.STAMP).write_text(json.dumps(stamp))


def test_nothing_is_current_before_the_first_run(checkout: Path) -> None:
    assert not environment.is_current(checkout, "demo")


def test_the_dev_environment_serves_as_demo_but_not_the_other_way_round(checkout: Path) -> None:
    pretend_made(checkout, "dev")
    assert environment.is_current(checkout, "demo")
    assert environment.is_current(checkout, "dev")
    pretend_made(checkout, "demo")
    assert environment.is_current(checkout, "demo")
    assert not environment.is_current(checkout, "dev")


@pytest.mark.parametrize("changed", ["ops/pins/demo.txt", "ops/pins/build.txt"])
def test_a_changed_pin_makes_the_environment_outdated(checkout: Path, changed: str) -> None:
    pretend_made(checkout, "demo")
    with (checkout / changed).open("a") as pins:
        pins.write("another==1.0\n")
    assert not environment.is_current(checkout, "demo")


def test_a_changed_entry_point_makes_the_environment_outdated_and_a_linter_setting_does_not(
    checkout: Path,
) -> None:
    pretend_made(checkout, "demo")
    pyproject = checkout / "pyproject.toml"
    pyproject.write_text(pyproject.read_text() + "\n[tool.another]\nsetting = 1\n")
    assert environment.is_current(checkout, "demo")
    pyproject.write_text(
        pyproject.read_text().replace("[project.scripts]", '[project.scripts]\nother = "worker:x"')
    )
    assert not environment.is_current(checkout, "demo")


def test_a_moved_checkout_or_a_removed_python_makes_the_environment_outdated(checkout: Path) -> None:
    pretend_made(checkout, "demo", made_in="/somewhere/else")
    assert not environment.is_current(checkout, "demo")
    pretend_made(checkout, "demo")
    (checkout / ".venv/bin/python").unlink()
    assert not environment.is_current(checkout, "demo")


def test_a_damaged_stamp_makes_the_environment_outdated(checkout: Path) -> None:
    pretend_made(checkout, "demo")
    (checkout / ".venv" / environment.STAMP).write_text("[]")
    assert not environment.is_current(checkout, "demo")


def test_the_command_works_from_any_directory_and_below_a_path_with_a_space(
    checkout: Path, tmp_path: Path
) -> None:
    pretend_made(checkout, "dev")
    command = ["bash", str(checkout / "ops/setup"), "demo"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_setup_replaces_itself_by_the_given_command_in_the_same_process(
    checkout: Path, tmp_path: Path
) -> None:
    pretend_made(checkout, "demo")
    (checkout / "tell.py").write_text("import os, sys\nprint(os.getpid(), sys.argv[1:], os.getcwd())\n")
    command = ["bash", str(checkout / "ops/setup"), "demo", "--run", "tell", "--check", "a b"]
    process = children.start(command, cwd=tmp_path, stdout=children.PIPE, text=True)
    with children.ended(process):
        assert process.communicate(timeout=20)[0] == f"{process.pid} ['--check', 'a b'] {tmp_path}\n"


def test_a_signal_ends_an_installation(checkout: Path, tmp_path: Path) -> None:
    pip = tmp_path / "pip.pid"
    script(checkout / "pip", f"echo $$ >{pip}; sleep 600")
    program = (
        "import sys\nfrom pathlib import Path\nfrom ops.lib import ending, environment\n"
        "ending.catch_signals()\nenvironment.run([sys.argv[1]], 'pip could not install')\n"
    )
    process = children.start([sys.executable, "-c", program, checkout / "pip"], cwd=ROOT)
    with children.ended(process):
        eventually(lambda: pip.exists() and pip.read_text() != "", 20)
        process.terminate()
        assert process.wait(20) == 128 + signal.SIGTERM
    assert not is_alive(int(pip.read_text()))


def test_a_machine_without_a_fitting_python_is_told_what_to_install(checkout: Path, tmp_path: Path) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("dirname", "bash"):
        (tools / name).symlink_to(shutil.which(name) or name)
    # Replace `id` so that the script believes it is not root: otherwise it would install packages.
    script(tools / "id", "echo 1000")
    text = (checkout / "ops/setup").read_text().replace(" /usr/bin/python3 /usr/local/bin/python3", "")
    (checkout / "ops/setup").write_text(text)
    script(tools / "python3", "exit 1")
    env = {"PATH": str(tools)}
    command = ["bash", str(checkout / "ops/setup"), "demo"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "Python 3.11, 3.12 or 3.13 is needed and none is on the PATH" in done.stderr


def test_a_python_that_cannot_make_environments_is_told_the_package(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(environment, "has_module", lambda python, module: False)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(environment.SetupError, match=r"apt-get install python3\.\d+-venv` as root"):
        environment.make_venv(tmp_path / ".venv")


def test_an_unknown_part_of_the_suite_is_refused() -> None:
    command = ["bash", str(ROOT / "ops/test"), "untested"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "unknown part 'untested'; usage: ops/test" in done.stderr


def script(path: Path, text: str) -> None:
    """Write a small shell program."""
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
