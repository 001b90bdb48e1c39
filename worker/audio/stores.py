"""Makes obstore's stores, one for each bucket and credentials, and keeps those that were used last.

A store costs 110 kB and 5 to 14 ms, in which Python's lock is held and no audio leaves: it reads the system's
authorities, and has connections of its own. So jobs of one bucket share one. It also keeps what a cloud's
identity service gave out, such as the token of an instance role.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from obstore.store import AzureStore, GCSStore, S3Store

from worker.network.buckets import Location
from worker.settings.credentials import Credentials

Store = S3Store | GCSStore | AzureStore

#: Stores that are kept. A job whose store was dropped makes it anew, and running reads keep theirs.
_MOST = 64
#: An answer lasts as long as its part of the audio is read, at whatever pace. Silence is limited instead.
_LONGEST_ANSWER = timedelta(days=1)


class Stores:
    """Makes stores and keeps them. One object serves all job threads.

    Args:
        endpoint: Of S3, if it is not Amazon's.
        region: Of S3; None leaves it to the environment.
        allow_http: Whether stores may be asked without TLS.
        ca_file: Authorities to trust besides the system's.
        timeout: Seconds until a connection must have been made, and of the longest silence.
    """

    def __init__(
        self,
        *,
        endpoint: str | None,
        region: str | None,
        allow_http: bool,
        ca_file: Path | None,
        timeout: float,
    ) -> None:
        self._endpoint = endpoint
        self._region = region
        self._allow_http = allow_http
        self._ca_file = ca_file
        self._timeout = timedelta(seconds=timeout)
        self._lock = threading.Lock()
        self._kept: OrderedDict[object, Store] = OrderedDict()

    def get(self, location: Location, credentials: Credentials | None) -> Store:
        """The store of a bucket.

        Args:
            location: In the bucket.
            credentials: Of the tenant; without them the library finds some in the environment.

        Raises:
            Exception: Of obstore, or of reading the CA file.
        """
        values = {key: secret.get_secret_value() for key, secret in (credentials or {}).items()}
        known = (location.kind, location.account, location.bucket, frozenset(values.items()))
        with self._lock:
            store = self._kept.pop(known, None) or self._made(location, values)
            self._kept[known] = store
            if len(self._kept) > _MOST:
                self._kept.popitem(last=False)
        return store

    def _made(self, location: Location, values: Mapping[str, str]) -> Store:
        how: dict[str, Any] = {"client_options": self._client(), "retry_config": self._retry()}
        if location.kind == "s3":
            return S3Store(location.bucket, **_s3(values, self._endpoint, self._region), **how)
        if location.kind == "gs":
            return GCSStore(location.bucket, **{**how, "config": dict(values)})
        return AzureStore(location.bucket, **_azure(values, location.account), **how)

    def _client(self) -> dict[str, Any]:
        # These replace what the environment says (AWS_ALLOW_HTTP, AWS_ALLOW_INVALID_CERTIFICATES).
        options = {
            "allow_http": self._allow_http,
            "connect_timeout": self._timeout,
            "read_timeout": self._timeout,
            "timeout": _LONGEST_ANSWER,
        }
        if self._ca_file is not None:
            options["root_certificate"] = self._ca_file.read_bytes()
        return options

    def _retry(self) -> dict[str, Any]:
        # A store that is busy for a moment (503) must not cost a consultation its stream.
        short = {"init_backoff": timedelta(milliseconds=100), "max_backoff": timedelta(seconds=1), "base": 2}
        return {"max_retries": 3, "retry_timeout": self._timeout, "backoff": short}


def _s3(values: Mapping[str, str], endpoint: str | None, region: str | None) -> dict[str, Any]:
    config: dict[str, Any] = {}
    if endpoint := values.get("endpoint_url", endpoint):
        # This key comes before the other one, which could come from the environment.
        config["aws_endpoint_url_s3"] = endpoint
    if region := values.get("region", region):
        config["region"] = region
    return {"config": config, "credential_provider": _s3_key(values) if values else None}


# A provider replaces all credentials of the environment. In `config` a key would be joined with its token.
def _s3_key(values: Mapping[str, str]) -> Callable[[], Any]:
    return lambda: {
        "access_key_id": values["aws_access_key_id"],
        "secret_access_key": values["aws_secret_access_key"],
        "token": values.get("aws_session_token"),
        "expires_at": None,
    }


def _azure(values: Mapping[str, str], account: str) -> dict[str, Any]:
    config = {"account_name": name} if (name := account or values.get("account_name")) else {}
    key = {"access_key" if k == "account_key" else k: v for k, v in values.items() if k != "account_name"}
    return {
        "config": config,
        "credential_provider": (lambda: {**key, "expires_at": None}) if values else None,
    }
