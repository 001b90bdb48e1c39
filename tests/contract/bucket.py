"""Object stores for tests: moto's server of S3, pages that answer as a store does, and the way to read."""

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from functools import partial
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import boto3
import requests
from pydantic import SecretStr

from ops.lib import children
from ops.lib.ports import PortClaim
from tests.contract.listening import audio_sources
from tests.contract.web_host import Page
from worker.audio.blocking import BlockingCalls
from worker.audio.objects import Access, Objects
from worker.audio.source import Sources
from worker.audio.stores import Stores
from worker.clock import SystemClock
from worker.network.buckets import BucketRules

#: A tenant's own credentials, as its file would give them.
KEY = {"aws_access_key_id": "AKIA-TENANT", "aws_secret_access_key": "s3cret-Zebedee"}
DATE = "Thu, 01 Jan 2026 00:00:00 GMT"


class Moto:
    """A server of S3 that takes every credential.

    Attributes:
        url: Of the server.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        # Another library than the worker's: what one gets wrong, the other shows.
        self._client = boto3.client(
            "s3",
            endpoint_url=url,
            region_name="us-east-1",
            aws_access_key_id="AKIA-PRODUCER",
            aws_secret_access_key="any",
        )

    def make(self, bucket: str) -> None:
        """Make a bucket."""
        self._client.create_bucket(Bucket=bucket)

    def put(self, bucket: str, key: str, body: bytes, content_type: str = "audio/wav") -> None:
        """Put an object there."""
        self._client.put_object(Bucket=bucket, Key=key, Body=body, ContentType=content_type)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


@contextmanager
def moto() -> Iterator[Moto]:
    """The server in a process of its own."""
    claim = PortClaim()
    port = str(claim.ports[0])
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", port]
    server = children.start(command, stdout=children.DEVNULL, stderr=children.DEVNULL)
    url = f"http://127.0.0.1:{port}"
    try:
        for _ in range(300):
            with suppress(requests.ConnectionError):
                requests.get(url, timeout=10)
                break
            assert server.poll() is None, "moto's server ended"
            time.sleep(0.1)
        with closing(Moto(url)) as store:
            yield store
    finally:
        children.end(server)
        claim.release()


@contextmanager
def objects(
    endpoint: str | None,
    *,
    key: Mapping[str, str] | None = KEY,
    buckets: str | None = "s3://visits",
    allow_http: bool = True,
    ca_file: Path | None = None,
    timeout: float = 10.0,
    least_speed: float = 0.25,
    max_bytes: int = 1 << 32,
) -> Iterator[Sources]:
    """Sources of audio of one tenant, with these buckets and credentials."""
    stores = Stores(endpoint=endpoint, region=None, allow_http=allow_http, ca_file=ca_file, timeout=timeout)
    calls = BlockingCalls()
    limits = {"timeout": timeout, "least_speed": least_speed, "max_bytes": max_bytes}
    opener = Objects(stores, calls, SystemClock(), **limits)  # type: ignore[arg-type]

    def credentials(kind: str) -> dict[str, SecretStr] | None:
        return None if key is None else {name: SecretStr(value) for name, value in key.items()}

    access = Access(BucketRules.parse(buckets), credentials)
    with audio_sources() as others:
        try:
            yield Sources(others._downloads, others._roots, calls, partial(opener.open, access))
        finally:
            calls.close()


def refusal(status: int, code: str) -> Page:
    """An answer as S3 refuses."""
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>Ada-Lovelace</Message></Error>".encode()

    def page(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    return page


def asked(handler: BaseHTTPRequestHandler, size: int) -> tuple[int, int]:
    """The range that a request asks for, its end exclusive."""
    first, _, last = handler.headers["Range"].removeprefix("bytes=").partition("-")
    return int(first), min(int(last) + 1, size)


def begin_part(handler: BaseHTTPRequestHandler, size: int, headers: Mapping[str, str] | None = None) -> int:
    """Send the headers of the range that was asked for; returns how many bytes are to follow."""
    start, stop = asked(handler, size)
    handler.send_response(206)
    told = {"ETag": '"one"', "Last-Modified": DATE, **(headers or {})}
    told |= {"Content-Range": f"bytes {start}-{stop - 1}/{size}", "Content-Length": str(stop - start)}
    for name, value in told.items():
        if value:
            handler.send_header(name, value)
    handler.end_headers()
    return stop - start


def in_ranges(body: bytes, headers: Mapping[str, str] | None = None) -> Page:
    """A page that gives out the ranges of an object, and compares no tag."""

    def page(handler: BaseHTTPRequestHandler) -> None:
        start, stop = asked(handler, len(body))
        begin_part(handler, len(body), headers)
        handler.wfile.write(body[start:stop])

    return page


def in_turn(*pages: Page) -> Page:
    """One page after the other; the last one stays."""
    left = list(pages)

    def page(handler: BaseHTTPRequestHandler) -> None:
        (left.pop(0) if len(left) > 1 else left[0])(handler)

    return page
