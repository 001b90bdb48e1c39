"""Sources of settings: variables, files that variables name, and variables that are not ours."""

from pathlib import Path

import pytest

from tests.unit.environment import NEEDED, SECRET, faults
from worker.settings import load


def test_a_value_can_lie_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(f"{SECRET}\n")
    environment = {"CORTI_CLIENT_ID": "client", "CORTI_CLIENT_SECRET_FILE": str(tmp_path / "secret")}
    assert load(environment).client_secret.get_secret_value() == SECRET
    slots = tmp_path / "slots"
    slots.write_text("7")
    assert load({**NEEDED, "CORTI_WORKER_SLOTS_FILE": str(slots)}).slots == 7


def test_a_value_and_a_file_for_the_same_setting_are_a_fault(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text(SECRET)
    told = faults(CORTI_CLIENT_SECRET_FILE=str(tmp_path / "secret"))
    assert told[0] == (
        "CORTI_CLIENT_SECRET: given twice, as CORTI_CLIENT_SECRET and as CORTI_CLIENT_SECRET_FILE; keep one"
    )


@pytest.mark.parametrize(("content", "error"), [(None, "FileNotFoundError"), (b"\xff", "UnicodeDecodeError")])
def test_a_file_that_cannot_be_read_is_the_only_fault_of_its_setting(
    tmp_path: Path, content: bytes | None, error: str
) -> None:
    place = tmp_path / SECRET
    if content is not None:
        place.write_bytes(content)
    assert faults(CORTI_WORKER_SLOTS_FILE=str(place)) == [
        f"CORTI_WORKER_SLOTS_FILE: cannot read the file it names ({error})"
    ]


@pytest.mark.parametrize(
    "name",
    [
        "CORTI_WORKER_SLOT",
        "CORTI_WORKER_slots",
        "CORTI_WORKER_",
        "CORTI_WORKER_SLOT_FILE",
        "CORTI_WORKER_CLIENT_ID",
        "CORTI_WORKER_SERVICE",
        "CORTI_WORKER_METRICS_PORT",
        "CORTI_WORKER_PORT",
    ],
)
def test_a_variable_of_ours_that_we_do_not_know_is_a_fault(name: str) -> None:
    assert faults(**{name: "9464"}) == [f"{name}: no such setting; `corti-worker settings` lists all"]


def test_what_kubernetes_adds_for_a_service_is_ignored() -> None:
    links = {
        "CORTI_WORKER_SERVICE_HOST": "10.0.0.1",
        "CORTI_WORKER_SERVICE_PORT": "9464",
        "CORTI_WORKER_SERVICE_PORT_METRICS": "9464",
        "CORTI_WORKER_PORT": "tcp://10.0.0.1:9464",
        "CORTI_WORKER_PORT_9464_TCP": "tcp://10.0.0.1:9464",
        "CORTI_WORKER_PORT_9464_TCP_PROTO": "tcp",
        "CORTI_WORKER_PORT_9464_TCP_PORT": "9464",
        "CORTI_WORKER_PORT_9464_TCP_ADDR": "10.0.0.1",
    }
    second = {name.replace("WORKER_", "WORKER_METRICS_"): value for name, value in links.items()}
    assert load({**NEEDED, **links, **second}) == load(NEEDED)


def test_other_variables_are_ignored() -> None:
    assert load({**NEEDED, "PATH": "/bin", "CORTI_": "x", "CORTI_SANDBOX_PORT": "1"}) == load(NEEDED)
