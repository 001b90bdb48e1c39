"""Audio in object stores, read from a server of S3 and from servers that misbehave."""

from collections.abc import Iterator

import pytest

from tests.contract.bucket import Moto, in_ranges, in_turn, moto, objects, refusal
from tests.contract.listening import BODY, SECRET, blocks, failure_of, opened, read
from tests.contract.web_host import WebHost
from worker.audio.object_version import RANGE_BYTES
from worker.audio.source import Sources
from worker.contract.audio import Audio
from worker.contract.errors import JobError, PermanentError, TransientError

pytestmark = pytest.mark.usefixtures("no_cloud")

_URI = f"s3://visits/{SECRET}.wav"
_PATH = f"/visits/{SECRET}.wav"


@pytest.fixture(scope="module")
def store() -> Iterator[Moto]:
    with moto() as server:
        server.make("visits")
        server.make("others")
        yield server


@pytest.fixture
def sources(store: Moto) -> Iterator[Sources]:
    with objects(store.url) as sources:
        yield sources


def test_an_object_is_the_audio_with_its_size_and_type(store: Moto, sources: Sources) -> None:
    store.put("visits", "2026/a.ogg", BODY, "audio/ogg")
    with opened(sources, Audio(uri="s3://visits/2026/a.ogg")) as source:
        assert b"".join(blocks(source)) == BODY
        assert source.read(1) == b""
        assert (source.size, source.media_type, source.at_hand) == (len(BODY), "audio/ogg", False)
        assert source.heard is not None
        assert source.read_now is None


@pytest.mark.parametrize("key", ["a b.wav", "ä+~(1)!.wav", "=@:,;&$'*.wav"])
def test_a_key_is_taken_literally(store: Moto, sources: Sources, key: str) -> None:
    store.put("visits", key, key.encode())
    assert read(sources, f"s3://visits/{key}") == key.encode()


@pytest.mark.parametrize("size", [1, RANGE_BYTES - 1, RANGE_BYTES, RANGE_BYTES + 1, 2 * RANGE_BYTES])
def test_an_object_of_any_size_is_read_to_its_end(store: Moto, sources: Sources, size: int) -> None:
    body = (BODY * 2)[:size]
    store.put("visits", "sized", body)
    assert read(sources, "s3://visits/sized") == body


def test_an_empty_object_is_read_as_empty(store: Moto, sources: Sources) -> None:
    store.put("visits", "empty", b"")
    with opened(sources, Audio(uri="s3://visits/empty")) as source:
        assert (source.read(100), source.size) == (b"", 0)
        assert source.read_at is not None
        assert source.read_at(0, 10) == b""


def test_any_part_can_be_read_whatever_was_read_in_order(store: Moto, sources: Sources) -> None:
    store.put("visits", "parts", BODY)
    with opened(sources, Audio(uri="s3://visits/parts")) as source:
        first, at = source.read(1000), source.read_at
        assert at is not None
        for offset, size in (0, 10), (5, 200_000), (len(BODY) - 3, 10), (len(BODY), 1), (1 << 40, 1), (7, 0):
            assert at(offset, size) == BODY[offset : offset + size]
        assert first + b"".join(blocks(source)) == BODY


def test_ranges_are_asked_for_and_each_of_the_version_that_the_first_was_of(host: WebHost) -> None:
    host.add(_PATH, in_ranges(BODY))
    with objects(host.url) as sources:
        with opened(sources, Audio(uri=_URI)) as source:
            assert len(host.seen) == 1
            assert len(source.read(100)) == 100
            assert len(host.seen) == 1
            assert source.read_at is not None
            assert source.read_at(3, 4) == BODY[3:7]
        assert read(sources, _URI) == BODY
    asked_for = [(one.get("range"), one.get("if-match")) for one in host.seen]
    first, second = "bytes=0-131071", "bytes=131072-262143"
    assert asked_for == [(first, None), ("bytes=3-6", '"one"'), (first, None), (second, '"one"')]


def test_what_is_not_there_is_refused_for_good(sources: Sources, store: Moto) -> None:
    missing = failure_of(sources, _URI)
    with objects(store.url, buckets="s3://gone") as others:
        gone = failure_of(others, f"s3://gone/{SECRET}")
    assert isinstance(missing, PermanentError)
    assert isinstance(gone, PermanentError)
    assert "names no object" in missing.detail
    assert "bucket of audio.uri does not exist" in gone.detail


@pytest.mark.parametrize(
    ("status", "code", "kind", "text"),
    [
        (403, "AccessDenied", PermanentError, "right to read"),
        (403, "InvalidAccessKeyId", TransientError, "does not know the credentials: renew"),
        (403, "SignatureDoesNotMatch", TransientError, "does not know the credentials: renew"),
        (403, "AuthenticationFailed", TransientError, "does not know the credentials: renew"),
        (401, "Unauthorized", TransientError, "does not know the credentials: renew"),
        (400, "ExpiredToken", TransientError, "have expired: renew"),
        (403, "ExpiredToken", TransientError, "have expired: renew"),
        (403, "RequestTimeTooSkewed", TransientError, "clock"),
        (404, "NoSuchBucket", PermanentError, "bucket of audio.uri"),
        (404, "ContainerNotFound", PermanentError, "bucket of audio.uri"),
        (404, "NoSuchKey", PermanentError, "names no object"),
        (301, "PermanentRedirect", PermanentError, "CORTI_WORKER_S3_REGION"),
        (400, "AuthorizationHeaderMalformed", PermanentError, "CORTI_WORKER_S3_REGION"),
        (412, "PreconditionFailed", TransientError, "changed"),
        (416, "InvalidRange", TransientError, "failed"),
        (200, "NoRanges", PermanentError, "range of bytes"),
        (503, "SlowDown", TransientError, "failed"),
        (418, "Teapot", TransientError, "failed"),
    ],
)
def test_each_refusal_of_a_store_has_a_meaning_and_none_of_its_words_travels(
    host: WebHost, status: int, code: str, kind: type[JobError], text: str
) -> None:
    host.add(_PATH, refusal(status, code))
    with objects(host.url, timeout=1.0) as sources:
        error = failure_of(sources, _URI)
    assert isinstance(error, kind)
    assert text in error.detail


def test_a_store_that_is_busy_for_a_moment_costs_no_attempt(host: WebHost) -> None:
    busy, broken, well = refusal(503, "SlowDown"), refusal(500, "InternalError"), in_ranges(BODY)
    host.add(_PATH, in_turn(busy, well, broken, well))
    with objects(host.url) as sources:
        assert read(sources, _URI) == BODY


def test_a_store_that_nobody_is_at_is_tried_again_later() -> None:
    with objects("http://127.0.0.1:1", timeout=1.0) as sources:
        error = failure_of(sources, _URI)
    assert isinstance(error, TransientError)
    assert "could not be connected to" in error.detail


# One version.


def test_an_object_that_is_replaced_in_mid_read_is_no_audio(store: Moto, sources: Sources) -> None:
    store.put("visits", "changing", BODY)
    with opened(sources, Audio(uri="s3://visits/changing")) as source:
        assert source.read(1000) == BODY[:1000]
        store.put("visits", "changing", BODY[::-1])
        with pytest.raises(TransientError) as failure:
            list(blocks(source))
        assert source.read_at is not None
        with pytest.raises(TransientError):
            source.read_at(0, 10)
    assert failure.value.reason == "audio_unreachable"
    assert "changed while it was read" in failure.value.detail
    assert read(sources, "s3://visits/changing") == BODY[::-1]


_LATER = "Fri, 02 Jan 2026 00:00:00 GMT"


@pytest.mark.parametrize(
    ("first", "second", "size"),
    [
        ({"ETag": '"one"'}, {"ETag": '"two"'}, 0),
        ({"ETag": 'W/"one"'}, {"ETag": 'W/"two"'}, 0),
        ({"ETag": ""}, {"ETag": "", "Last-Modified": _LATER}, 0),
        ({"ETag": ""}, {"ETag": ""}, 1),
    ],
    ids=["tag", "weak tag", "time alone", "size alone"],
)
def test_a_server_that_compares_no_tag_cannot_pass_two_versions_off_as_one(
    host: WebHost, first: dict[str, str], second: dict[str, str], size: int
) -> None:
    host.add(_PATH, in_turn(in_ranges(BODY, first), in_ranges(BODY + bytes(size), second)))
    with (
        objects(host.url) as sources,
        opened(sources, Audio(uri=_URI)) as source,
        pytest.raises(TransientError) as failure,
    ):
        list(blocks(source))
    assert "changed while it was read" in failure.value.detail
    assert ["if-match" in one for one in host.seen] == [False, first["ETag"] == '"one"']
