"""The worker's adapters for Corti, made against a sandbox as the composition root makes them."""

import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import uuid4

import pytest

from ops.sandbox.launch import Endpoint, Sandbox
from tests.contract.secrecy import assert_silent
from tests.fakes import FakeRecorder
from worker.clock import SystemClock
from worker.contract.errors import JobError
from worker.contract.job import Job
from worker.corti.rest import RestInteractions, TokenEndpoint, http_session
from worker.jobs.ports import Interactions
from worker.protocol.token import Token

PATIENT = "Ada Lovelace 1815-12-10"


def endpoint_of(sandbox: Sandbox, *, secure: bool = True) -> Endpoint:
    """The sandbox's addresses, with TLS or without."""
    found = sandbox.info.https if secure else sandbox.info.http
    assert found is not None
    return found


def make_job(**changes: Any) -> Job:
    """A job with an encounter of its own; no test reads its audio."""
    value = {
        "job_id": f"job-{uuid4().hex}",
        "audio": {"uri": "file:///nowhere.wav"},
        "patient": {"identifier": PATIENT, "name": PATIENT},
        "transcription": {"language": "en"},
        **changes,
    }
    return Job.model_validate(value, strict=False)


def as_token(value: str) -> Token:
    """A token that stays valid for the whole test."""
    return Token(value, uuid4().hex, SystemClock().monotonic() + 300, 300)


class CortiSide:
    """REST adapters against one sandbox.

    Args:
        sandbox: The sandbox.
        secure: Whether to use TLS.
        ca_file: The trusted authority's certificate, instead of the sandbox's own.
        timeout: Seconds for each request.
    """

    def __init__(
        self, sandbox: Sandbox, *, secure: bool = True, ca_file: str | None = None, timeout: float = 10.0
    ) -> None:
        self.sandbox = sandbox
        self.urls = endpoint_of(sandbox, secure=secure)
        self.ca_file = ca_file or sandbox.info.ca_file
        self.timeout = timeout
        self.recorder = FakeRecorder()
        self.session = http_session(self.ca_file if secure else None, 8)
        self.context = ssl.create_default_context(cafile=self.ca_file) if secure else None

    def close(self) -> None:
        """Close the connections."""
        self.session.close()

    @property
    def token_url(self) -> str:
        """The URL at which the sandbox issues tokens."""
        return f"{self.urls.auth_url}/realms/base/protocol/openid-connect/token"

    def token_endpoint(self, *, url: str | None = None, secret: str | None = None) -> TokenEndpoint:
        """The token endpoint."""
        info = self.sandbox.info
        return TokenEndpoint(
            self.session,
            url or self.token_url,
            info.client_id,
            lambda: secret or info.client_secret,
            self.timeout,
            SystemClock(),
        )

    def token(self) -> Token:
        """A token that the sandbox accepts."""
        return as_token(self.token_endpoint().fetch().value)

    def interactions(self, *, api: str | None = None, tenant: str = "base") -> RestInteractions:
        """The adapter for interactions."""
        return RestInteractions(
            self.session,
            api or self.urls.api_url,
            tenant,
            None,
            self.timeout,
            self.recorder,
            SystemClock(),
        )


@contextmanager
def corti_side(sandbox: Sandbox, **options: Any) -> Iterator[CortiSide]:
    """The adapters, closed afterwards."""
    side = CortiSide(sandbox, **options)
    try:
        yield side
    finally:
        side.close()


def creation_failure(port: Interactions, token: Token, **job: Any) -> JobError:
    """Create an interaction, which must fail; return the error, which must hold no secret."""
    with pytest.raises(JobError) as failure:
        port.create(make_job(**job), token)
    assert_silent(failure.value, token.value, PATIENT, "nothing-of-this")
    return failure.value
