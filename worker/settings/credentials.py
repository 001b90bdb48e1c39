"""Credentials of object stores that a tenant has as files, in the form that each store's operators know.

`s3-credentials` is as the AWS command line has it in ~/.aws/credentials, with one profile; `az-credentials`
has the same form; `gs-credentials` is the JSON key of a service account, as Google gives it out.
"""

import json
from collections.abc import Mapping
from configparser import ConfigParser, Error
from pathlib import Path

from pydantic import SecretStr, TypeAdapter, ValidationError

from worker.settings.kinds import HttpUrl, Region

#: Per kind of store: the sets of keys of which a file must have exactly one, and the keys that it may have.
_NEEDED = {
    "s3": ({"aws_access_key_id", "aws_secret_access_key"},),
    "az": ({"account_name", "account_key"}, {"account_name", "sas_token"}),
}
_POSSIBLE = {"s3": {"aws_session_token", "region", "endpoint_url"}, "az": set[str]()}
_TYPES: Mapping[str, TypeAdapter[str]] = {"region": TypeAdapter(Region), "endpoint_url": TypeAdapter(HttpUrl)}

Credentials = Mapping[str, SecretStr]


def read_credentials(kind: str, file: Path) -> Credentials:
    """Read a file of credentials.

    Args:
        kind: `s3`, `gs` or `az`.
        file: Where it lies.

    Raises:
        ValueError: The file cannot be read, or is not of the form; the text shows nothing of it.
    """
    try:
        text = file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"cannot be read ({type(error).__name__})") from None
    if kind == "gs":
        return _service_account(text)
    values = _lines(text)
    given = values.keys() - _POSSIBLE[kind]
    if given not in _NEEDED[kind] or not all(_fits(key, value) for key, value in values.items()):
        needed = " or ".join(" and ".join(sorted(keys)) for keys in _NEEDED[kind])
        possible = f", perhaps {', '.join(sorted(_POSSIBLE[kind]))}" if _POSSIBLE[kind] else ""
        raise ValueError(f"expected lines `key = value` with {needed}{possible}, and no other key")
    return {key: SecretStr(value) for key, value in values.items()}


def _fits(key: str, value: str) -> bool:
    if not value.isprintable():  # a line that goes on in the next one
        return False
    kind = _TYPES.get(key)
    try:
        return bool(value) and (kind is None or bool(kind.validate_python(value)))
    except ValidationError:
        return False


def _lines(text: str) -> dict[str, str]:
    parser = ConfigParser(interpolation=None, delimiters=("=",), default_section="", strict=True)
    begun = text if text.lstrip().startswith("[") else f"[default]\n{text}"
    try:
        parser.read_string(begun)
        (profile,) = parser.sections()
    except (Error, ValueError):
        return {}
    return dict(parser[profile])


def _service_account(text: str) -> Credentials:
    try:
        key = json.loads(text)
    except ValueError:
        key = None
    if not isinstance(key, dict) or key.get("type") != "service_account" or "private_key" not in key:
        raise ValueError("expected the JSON key of a Google service account")
    return {"service_account_key": SecretStr(text)}
