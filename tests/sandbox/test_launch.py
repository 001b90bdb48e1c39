"""The sandbox's process: its output, its end, and the arguments that it refuses."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ops.lib import children
from ops.sandbox.launch import start
from tests.sandbox.client import Client
from tests.sandbox.sound import tone

ROOT = Path(__file__).parents[2]


@pytest.mark.usefixtures("heeded_signals")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_stops_with_status_0_even_with_open_sockets(number: signal.Signals) -> None:
    with start() as sandbox:
        with Client(sandbox).open() as conversation:
            conversation.send([tone(0.25).tobytes()])
            os.kill(sandbox.info.pid, number)
            assert conversation.drain() in (1001, 1006)
        assert sandbox.close() == 0


def test_the_ca_bundle_of_a_temporary_directory_is_removed_at_exit() -> None:
    with start() as sandbox:
        assert sandbox.info.ca_file is not None
        bundle = Path(sandbox.info.ca_file)
        assert bundle.read_text().startswith("-----BEGIN CERTIFICATE-----")
    assert not bundle.parent.exists()


def test_the_ca_bundle_stays_in_a_given_directory(tmp_path: Path) -> None:
    with start(state_dir=tmp_path / "new") as sandbox:
        assert sandbox.info.ca_file == str(tmp_path / "new" / "ca.pem")
    assert (tmp_path / "new" / "ca.pem").exists()


def test_without_tls_there_is_no_https_and_no_bundle() -> None:
    with start(tls_port=None, tenant="clinic", client_id="me", client_secret="mine") as sandbox:
        assert sandbox.info.https is None
        assert sandbox.info.ca_file is None
        assert (sandbox.info.tenant, sandbox.info.client_id) == ("clinic", "me")
        assert Client(sandbox, tenant="clinic").create()["websocketUrl"].endswith("?tenant-name=clinic")


def test_the_ready_line_is_the_only_output() -> None:
    command = [sys.executable, "-m", "ops.sandbox", "--no-tls"]
    process = children.start(command, cwd=ROOT, stdout=children.PIPE, stderr=children.PIPE, text=True)
    with children.ended(process):
        assert process.stdout is not None
        info = json.loads(process.stdout.readline())
        assert info["pid"] == process.pid
        process.terminate()
        out, err = process.communicate(timeout=10)
    assert (out, err, process.returncode) == ("", "", 0)
    assert info["http"]["stream_url"] == info["http"]["auth_url"].replace("http", "ws") + "/audio-bridge/v2"


@pytest.mark.parametrize(
    "arguments",
    [
        ["--faults", '{"name": "no_such_fault"}'],
        ["--faults", "/no/such/file"],
        ["--script", "/no/such/file"],
        ["--token-seconds", "0"],
        ["--script", __file__],
    ],
)
def test_a_bad_command_line_is_refused(arguments: list[str]) -> None:
    command = [sys.executable, "-m", "ops.sandbox", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == 2
    assert arguments[0] in done.stderr
    assert done.stdout == ""


def test_start_reports_a_process_that_never_became_ready() -> None:
    with pytest.raises(RuntimeError, match="status 2"):
        start(extra_arguments=["--no-such-option"], stderr=subprocess.DEVNULL)


def test_faults_from_a_file_are_in_force_from_the_start(tmp_path: Path) -> None:
    (tmp_path / "faults.json").write_text('[{"name": "auth_error", "status": 502, "count": 1}]')
    with start(tls_port=None, extra_arguments=["--faults", str(tmp_path / "faults.json")]) as sandbox:
        client = Client(sandbox)
        assert [client.ask_token().status for _ in range(2)] == [502, 200]
