"""Settings from the environment: their defaults, and every kind of fault."""

from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from pydantic import ValidationError

from tests.unit.environment import NEEDED, SECRET, faults
from worker.settings import Settings, SettingsError, load, markdown_table, variable


def test_an_environment_without_credentials_says_what_is_required() -> None:
    with pytest.raises(SettingsError) as caught:
        load({})
    assert caught.value.faults == ["CORTI_CLIENT_ID: is required", "CORTI_CLIENT_SECRET: is required"]


def test_credentials_are_enough() -> None:
    settings = load(NEEDED)
    assert settings.client_secret.get_secret_value() == SECRET
    assert settings.broker_is_redis
    assert settings.redis == settings.broker_url.get_secret_value() == "redis://127.0.0.1:6379/0"
    (tenant,) = settings.tenants
    assert tenant.token_endpoint == "https://auth.eu.corti.app/realms/base/protocol/openid-connect/token"
    assert tenant.api == "https://api.eu.corti.app/v2"
    assert (settings.door, settings.wav_as, settings.stream_url) == (True, "pcm", None)


def test_region_and_tenant_name_the_servers() -> None:
    (tenant,) = load({**NEEDED, "CORTI_ENVIRONMENT": "us", "CORTI_TENANT": "clinic-2"}).tenants
    assert tenant.token_endpoint == "https://auth.us.corti.app/realms/clinic-2/protocol/openid-connect/token"
    assert tenant.api == "https://api.us.corti.app/v2"


def test_the_vendors_settings_have_the_vendors_names_and_the_others_ours() -> None:
    assert [variable(field) for field in Settings.model_fields][:8] == [
        "CORTI_CLIENT_ID",
        "CORTI_CLIENT_SECRET",
        "CORTI_TENANT",
        "CORTI_ENVIRONMENT",
        "CORTI_AUTH_URL",
        "CORTI_API_URL",
        "CORTI_STREAM_URL",
        "CORTI_CA_FILE",
    ]
    assert all(variable(field).startswith("CORTI_WORKER_") for field in [*Settings.model_fields][8:])


def test_servers_of_our_own_replace_the_regions_with_or_without_a_slash() -> None:
    (tenant,) = load(
        {**NEEDED, "CORTI_AUTH_URL": "http://127.0.0.1:1/", "CORTI_API_URL": "https://api.example/v2"}
    ).tenants
    assert tenant.token_endpoint.startswith("http://127.0.0.1:1/realms/base/")
    assert tenant.api == "https://api.example/v2"


def test_rabbitmq_needs_a_redis_besides() -> None:
    rabbit = {"CORTI_WORKER_BROKER_URL": f"amqp://user:{SECRET}@broker:5672/"}
    assert faults(**rabbit) == ["expected CORTI_WORKER_REDIS_URL, because the broker is not Redis"]
    settings = load({**NEEDED, **rabbit, "CORTI_WORKER_REDIS_URL": "rediss://cache:6380/1"})
    assert (settings.broker_is_redis, settings.redis) == (False, "rediss://cache:6380/1")


def test_all_faults_are_told_at_once_each_by_its_variable() -> None:
    told = faults(
        CORTI_CLIENT_SECRET="",
        CORTI_TENANT=f"{SECRET}/x",
        CORTI_AUTH_URL=f"ftp://{SECRET}",
        CORTI_CA_FILE=f"/nowhere/{SECRET}",
        CORTI_WORKER_BROKER_URL=f"kafka://{SECRET}",
        CORTI_WORKER_SLOTS=SECRET,
        CORTI_WORKER_CHUNK_SECONDS="9",
        CORTI_WORKER_WAV_AS=SECRET,
        CORTI_WORKER_DOOR=SECRET,
        CORTI_WORKER_ENCRYPTION_KEYS=SECRET,
        CORTI_WORKER_HTTP_TIMEOUT="nan",
        CORTI_WORKER_SLOT="1",
    )
    assert [fault.partition(":")[0] for fault in told] == [
        "CORTI_WORKER_SLOT",
        "CORTI_CLIENT_SECRET",
        "CORTI_TENANT",
        "CORTI_AUTH_URL",
        "CORTI_CA_FILE",
        "CORTI_WORKER_BROKER_URL",
        "CORTI_WORKER_ENCRYPTION_KEYS",
        "CORTI_WORKER_SLOTS",
        "CORTI_WORKER_DOOR",
        "CORTI_WORKER_WAV_AS",
        "CORTI_WORKER_CHUNK_SECONDS",
        "CORTI_WORKER_HTTP_TIMEOUT",
    ]
    assert "CORTI_AUTH_URL: expected a URL that starts with https:// or http://" in told


#: The range of each number: both ends are accepted, and nothing beyond them.
RANGES = {
    "SLOTS": (1, 10_000),
    "AUDIO_MAX_SECONDS": (0.001, 86_400),
    "DOWNLOAD_MIN_SPEED": (0.0, 1),
    "DOWNLOAD_MAX_BYTES": (1, 1 << 50),
    "SPOOL_BYTES": (1, 1 << 50),
    "CHUNK_SECONDS": (0.02, 2),
    "SIMULTANEOUS_CONNECTS": (1, 1000),
    "HTTP_TIMEOUT": (0.001, 86_400),
    "ATTEMPTS": (1, 100),
    "RETRY_BASE": (0.001, 86_400),
    "RETRY_CAP": (0.001, 86_400),
    "PUBLISH_PATIENCE": (0.001, 86_400),
    "VISIBILITY_TIMEOUT": (4, 43_200),
    "CONSUMER_TIMEOUT": (60, 86_400),
    "HEALTH_PORT": (0, 65_535),
}


@pytest.mark.parametrize(("name", "least", "most"), [(name, *ends) for name, ends in RANGES.items()])
def test_a_number_has_a_range(name: str, least: float, most: float) -> None:
    variable = f"CORTI_WORKER_{name}"
    for value in least, most:
        assert getattr(load({**NEEDED, variable: str(value)}), name.lower()) == value
    for value in least - (1 if isinstance(least, int) else 0.01), most + 1:
        assert [fault.partition(":")[0] for fault in faults(**{variable: str(value)})] == [variable]


def test_a_file_of_authorities_must_exist(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("")
    assert load({**NEEDED, "CORTI_CA_FILE": str(tmp_path / "ca.pem")}).ca_file == tmp_path / "ca.pem"
    assert faults(CORTI_CA_FILE=str(tmp_path)) == ["CORTI_CA_FILE: expected the path of an existing file"]


def test_copies_have_a_directory_that_exists(tmp_path: Path) -> None:
    assert load(NEEDED).spool_dir is None
    assert load({**NEEDED, "CORTI_WORKER_SPOOL_DIR": str(tmp_path)}).spool_dir == tmp_path
    (fault,) = faults(CORTI_WORKER_SPOOL_DIR=f"/nowhere/{SECRET}")
    assert fault == "CORTI_WORKER_SPOOL_DIR: expected the path of an existing directory"


def test_no_file_is_read_unless_directories_are_named_and_they_must_exist(tmp_path: Path) -> None:
    assert load(NEEDED).audio_root is None
    (tmp_path / "a.wav").touch()
    for roots in str(tmp_path), f"{tmp_path}:/":
        assert load({**NEEDED, "CORTI_WORKER_AUDIO_ROOT": roots}).audio_root == roots
    for wrong in "", "audio", ".", f"{tmp_path}:", f"{tmp_path}/a.wav", f"{tmp_path}:/nowhere/{SECRET}":
        assert faults(CORTI_WORKER_AUDIO_ROOT=wrong) == [
            "CORTI_WORKER_AUDIO_ROOT: expected absolute paths of existing directories, separated by colons"
        ]


def test_hosts_of_audio_are_names_and_networks() -> None:
    assert load(NEEDED).audio_hosts is None
    assert load({**NEEDED, "CORTI_WORKER_AUDIO_HOSTS": "public,10.0.0.0/8"}).audio_hosts
    (fault,) = faults(CORTI_WORKER_AUDIO_HOSTS=f"https://{SECRET}")
    assert fault.startswith("CORTI_WORKER_AUDIO_HOSTS: expected a list separated by commas of host names")


@pytest.mark.parametrize("url", ["https://", "https://h:0", "https://h:99999", "https://[::1", "h", ""])
def test_a_url_without_a_usable_host_is_refused(url: str) -> None:
    assert faults(CORTI_API_URL=url) == ["CORTI_API_URL: expected a URL that starts with https:// or http://"]


def test_fernet_keys_may_be_several_and_spaced() -> None:
    keys = f"{Fernet.generate_key().decode()} , {Fernet.generate_key().decode()}"
    kept = load({**NEEDED, "CORTI_WORKER_ENCRYPTION_KEYS": keys}).encryption_keys
    assert kept is not None
    assert kept.get_secret_value() == keys
    assert len(faults(CORTI_WORKER_ENCRYPTION_KEYS=f"{keys},")) == 1


def test_no_text_of_the_settings_shows_a_secret() -> None:
    settings = load(
        {
            **NEEDED,
            "CORTI_WORKER_BROKER_URL": f"redis://:{SECRET}@h:1",
            "CORTI_WORKER_REDIS_URL": f"rediss://:{SECRET}@h:2",
            "CORTI_WORKER_ENCRYPTION_KEYS": Fernet.generate_key().decode(),
        }
    )
    for text in repr(settings), str(settings), settings.model_dump_json(), f"{settings.model_dump()}":
        assert SECRET not in text
        assert "********" in text


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        load(NEEDED).slots = 7  # type: ignore[misc]  # that is the point


def test_the_process_own_environment_is_read_when_no_other_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in NEEDED.items():
        monkeypatch.setenv(name, value)
    assert load() == load(NEEDED)


def test_the_table_has_a_row_for_every_setting_with_its_default_and_meaning() -> None:
    head, line, *rows = markdown_table().splitlines()
    assert (head, line) == ("| variable | default | meaning |", "|---|---|---|")
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    assert [cell[0] for cell in cells] == [f"`{variable(field)}`" for field in Settings.model_fields]
    assert all(len(row) == 3 and row[2].endswith(".") for row in cells)
    defaults = {row[0].strip("`"): row[1] for row in cells}
    assert defaults["CORTI_CLIENT_SECRET"] == "required"
    assert defaults["CORTI_WORKER_DOOR"] == "`true`"
    assert defaults["CORTI_WORKER_BROKER_URL"] == "`redis://127.0.0.1:6379/0`"
    assert defaults["CORTI_WORKER_REDIS_URL"] == "unset"
    assert defaults["CORTI_WORKER_SLOTS"] == "`100`"
