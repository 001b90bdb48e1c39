"""Tenants: sets of Corti credentials, from the settings themselves and from directories in `tenants_dir`.

A tenant's directory has the name that jobs give as `tenant`. Like a mounted secret it holds a file for each
value: `client-id` and `client-secret`, and optionally the other files in `FILES`. A value that has no file is
taken from the worker's own settings.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, TypeAdapter, ValidationError

from worker.contract.job import Retention
from worker.settings.credentials import Credentials, read_credentials
from worker.settings.kinds import AudioBuckets, ExistingFile, HttpUrl, Region, SocketUrl, TenantName

#: The files of a tenant's directory, each with the field that it holds.
FILES: Mapping[str, str] = {
    "client-id": "client_id",
    "client-secret": "client_secret",
    "tenant": "realm",
    "environment": "environment",
    "auth-url": "auth_url",
    "api-url": "api_url",
    "stream-url": "stream_url",
    "ca.crt": "ca_file",
    "max-streams": "max_streams",
    "retention": "retention",
    "audio-buckets": "audio_buckets",
    "s3-credentials": "s3_credentials",
    "gs-credentials": "gs_credentials",
    "az-credentials": "az_credentials",
}
#: Fields that hold the path of their file and not what is in it.
_PATHS = frozenset({"ca_file", "s3_credentials", "gs_credentials", "az_credentials"})
_BY_FIELD = {field: file for file, field in FILES.items()}
#: A tenant with a region of its own does not take these from the settings: they belong to another region.
_OF_A_REGION = ("auth_url", "api_url", "stream_url")
_NAME: TypeAdapter[str] = TypeAdapter(TenantName)


def _credentials(kind: str) -> AfterValidator:
    def check(file: Path) -> Path:
        read_credentials(kind, file)
        return file

    return AfterValidator(check)


class Tenant(BaseModel):
    """One set of credentials and what goes with it; the secret does not show in its repr.

    Attributes:
        name: What jobs call it; also in labels and logs.
        realm: What Corti calls it.
        client_secret: As it was at the start; `worker.settings.secret_of` tells what it is now.
        secret_file: Where the secret can be read again.
        max_streams: Most streams at once across all workers; 0 for any number.
        retention: For jobs that do not name one.
        audio_buckets: What it may read from object stores. Another tenant's list is never taken for it.
        s3_credentials: Where its credentials for S3 can be read, each time; so the next two. Without the file
            the credentials are those of the worker's environment.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: TenantName
    realm: TenantName
    client_id: str = Field(min_length=1)
    client_secret: SecretStr = Field(min_length=1)
    secret_file: Path | None = None
    environment: Region = "eu"
    auth_url: HttpUrl | None = None
    api_url: HttpUrl | None = None
    stream_url: SocketUrl | None = None
    ca_file: ExistingFile | None = None
    max_streams: int = Field(0, ge=0)
    retention: Retention | None = None
    audio_buckets: AudioBuckets | None = None
    s3_credentials: Annotated[Path, _credentials("s3")] | None = None
    gs_credentials: Annotated[Path, _credentials("gs")] | None = None
    az_credentials: Annotated[Path, _credentials("az")] | None = None

    def store_credentials(self, kind: str) -> Credentials | None:
        """Its own credentials for a kind of store as the file has them now; None if there is no file.

        Raises:
            ValueError: The file is not of its form any more.
        """
        files = {"s3": self.s3_credentials, "gs": self.gs_credentials, "az": self.az_credentials}
        file = files[kind]
        return None if file is None else read_credentials(kind, file)

    @property
    def auth(self) -> str:
        """Base of the auth server (PROTOCOL.md 1), without a trailing slash."""
        return self.auth_url or f"https://auth.{self.environment}.corti.app"

    @property
    def token_endpoint(self) -> str:
        """Where tokens are requested (PROTOCOL.md 1)."""
        return f"{self.auth}/realms/{self.realm}/protocol/openid-connect/token"

    @property
    def api(self) -> str:
        """Base of the REST API (PROTOCOL.md 1), without a trailing slash."""
        return self.api_url or f"https://api.{self.environment}.corti.app/v2"


def read_tenants(directory: Path, inherited: Mapping[str, Any]) -> tuple[tuple[Tenant, ...], list[str]]:
    """Read every tenant of a directory.

    Args:
        directory: An existing directory.
        inherited: Values for files that a tenant does not have.

    Returns:
        The tenants that are valid, and every fault found; no fault shows a value.
    """
    tenants: list[Tenant] = []
    entries, faults = _entries(directory)
    if not entries and not faults:
        faults.append("expected a directory in it for each tenant; there is none")
    for entry in entries:
        found = _tenant(entry, inherited)
        if isinstance(found, Tenant):
            tenants.append(found)
        else:
            faults += [f"{entry.name}{fault}" for fault in found]
    return tuple(tenants), faults


def _entries(directory: Path) -> tuple[list[Path], list[str]]:
    try:
        # Entries that begin with a dot belong to Kubernetes: `..data` and the directory that it points to.
        return sorted(entry for entry in directory.iterdir() if not entry.name.startswith(".")), []
    except OSError as error:
        return [], [f"cannot be listed ({type(error).__name__})"]


def _tenant(place: Path, inherited: Mapping[str, Any]) -> Tenant | list[str]:
    if not place.is_dir():
        return [": expected a directory with the tenant's files"]
    files, unlisted = _entries(place)
    faults = [f": {fault}" for fault in unlisted]
    try:
        _NAME.validate_python(place.name)
    except ValidationError:
        faults.append(": expected a name of letters, digits, '.', '_' and '-', at most 64, as jobs give it")
    values: dict[str, Any] = {}
    unreadable: set[str] = set()
    for file in files:
        field = FILES.get(file.name)
        if field is None:
            faults.append(f"/{file.name}: no such file is known; there may be {', '.join(FILES)}")
            continue
        try:
            content = file.read_text().strip()
        except (OSError, UnicodeDecodeError) as error:
            unreadable.add(field)
            faults.append(f"/{file.name}: cannot be read ({type(error).__name__})")
            continue
        values[field] = file if field in _PATHS else content
    base = {key: value for key, value in inherited.items() if key not in values}
    if "environment" in values:
        base = {key: value for key, value in base.items() if key not in _OF_A_REGION}
    try:
        tenant = Tenant.model_validate(
            {
                **base,
                "realm": place.name,
                **values,
                "name": place.name,
                "secret_file": place / "client-secret",
            }
        )
    except ValidationError as error:
        skipped = {*unreadable, "name", *({"realm"} - values.keys())}
        return faults + _told(error, skipped)
    return faults or tenant


def _told(error: ValidationError, skipped: set[str]) -> list[str]:
    told: list[str] = []
    for fault in error.errors(include_url=False, include_context=False, include_input=False):
        field = str(fault["loc"][0])
        if field in skipped:
            continue
        message = "is required" if fault["type"] == "missing" else fault["msg"].removeprefix("Value error, ")
        told.append(f"/{_BY_FIELD[field]}: {message}")
    return told
