"""The types of settings. Each has a message for a wrong value, which never shows the value."""

from pathlib import Path
from typing import Annotated
from urllib.parse import parse_qs, urlsplit

from cryptography.fernet import Fernet
from pydantic import AfterValidator, Field, SecretStr, StringConstraints

from worker.network.buckets import BucketRules
from worker.network.hosts import HostRules


def _url(*schemes: str) -> AfterValidator:
    def check(value: str) -> str:
        try:
            parts = urlsplit(value)
            valid = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
        except ValueError:
            valid = False
        if not valid:
            raise ValueError(f"expected a URL that starts with {' or '.join(s + '://' for s in schemes)}")
        return value.rstrip("/")

    return AfterValidator(check)


def secret_url(*schemes: str) -> AfterValidator:
    """A URL with one of these schemes, as a secret: it may hold a password."""
    check = _url(*schemes)

    def unwrap(value: SecretStr) -> SecretStr:
        check.func(value.get_secret_value())  # type: ignore[call-arg]
        keys = parse_qs(urlsplit(value.get_secret_value()).query, keep_blank_values=True)
        if any(key.lower().startswith(("ssl", "verify", "cert", "ca", "key")) for key in keys):
            # A library would let these options switch the verification off.
            raise ValueError(
                "expected a URL without TLS options: name files in the settings ..._CA_FILE, ..._CERT_FILE "
                "and ..._KEY_FILE; the certificate of a server is always verified"
            )
        return value

    return AfterValidator(unwrap)


def _fernet_keys(value: SecretStr | None) -> SecretStr | None:
    for key in value.get_secret_value().split(",") if value else ():
        try:
            Fernet(key.strip())
        except ValueError:
            raise ValueError(
                "expected Fernet keys (32 bytes, url-safe base64), separated by commas"
            ) from None
    return value


def _existing_file(value: Path) -> Path:
    if not value.is_file():
        raise ValueError("expected the path of an existing file")
    return value


def _existing_directory(value: Path) -> Path:
    if not value.is_dir():
        raise ValueError("expected the path of an existing directory")
    return value


def _directories(value: str) -> str:
    # They must exist: a mistyped one would fail every job that names a file.
    if not all(path.is_absolute() and path.is_dir() for path in map(Path, value.split(":"))):
        raise ValueError("expected absolute paths of existing directories, separated by colons")
    return value


def _audio_hosts(value: str) -> str:
    HostRules.parse(value)
    return value


def _audio_buckets(value: str) -> str:
    BucketRules.parse(value)
    return value


def _audit_place(value: str) -> str:
    if value not in {"stdout", "off"} and not Path(value).parent.is_dir():
        raise ValueError("expected stdout, off, or the path of a file in an existing directory")
    return value


HttpUrl = Annotated[str, _url("https", "http")]
SocketUrl = Annotated[str, _url("wss", "ws")]
FernetKeys = Annotated[SecretStr | None, AfterValidator(_fernet_keys)]
ExistingFile = Annotated[Path, AfterValidator(_existing_file)]
ExistingDirectory = Annotated[Path, AfterValidator(_existing_directory)]
Directories = Annotated[str, AfterValidator(_directories)]
AudioHosts = Annotated[str, AfterValidator(_audio_hosts)]
AudioBuckets = Annotated[str, AfterValidator(_audio_buckets)]
AuditPlace = Annotated[str, AfterValidator(_audit_place)]
Seconds = Annotated[float, Field(gt=0, le=86400)]
#: The name is also a path component, a label and a part of a Redis key: no dot in front, no slash.
TenantName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
Region = Annotated[str, StringConstraints(pattern=r"^[a-z0-9-]{1,32}$")]
