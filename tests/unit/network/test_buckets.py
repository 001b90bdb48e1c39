"""Which objects may be read: the list of buckets, and how strictly an address is read."""

import pytest

from worker.network.buckets import BucketRules, Location


def allowed(rules: str, uri: str) -> bool:
    return BucketRules.parse(rules).allow(Location.parse(uri))


@pytest.mark.parametrize(
    ("uri", "location"),
    [
        ("s3://visits/a.wav", Location("s3", "visits", "a.wav")),
        ("S3://visits/2026/11/a b+c~ä.wav", Location("s3", "visits", "2026/11/a b+c~ä.wav")),
        ("s3://visits/...", Location("s3", "visits", "...")),
        ("s3://visits/a..b/c", Location("s3", "visits", "a..b/c")),
        ("gs://visits.example.org/a", Location("gs", "visits.example.org", "a")),
        ("az://visits/a", Location("az", "visits", "a")),
        ("abfs://visits/a", Location("az", "visits", "a")),
        ("abfss://visits@clinic.dfs.core.windows.net/a/b", Location("az", "visits", "a/b", "clinic")),
        ("s3://visits", Location("s3", "visits", "")),
        ("s3://visits/", Location("s3", "visits", "")),
        ("s3://visits/a/", Location("s3", "visits", "a/")),
    ],
)
def test_an_address_is_read_literally(uri: str, location: Location) -> None:
    assert Location.parse(uri) == location


@pytest.mark.parametrize(
    ("uri", "why"),
    [
        ("https://visits/a", "scheme"),
        ("s3:visits/a", "scheme"),
        ("s3a://visits/a", "scheme"),
        ("s3:///a", "bucket"),
        ("s3://Visits/a", "bucket"),
        ("s3://vi/sits", "bucket"),
        ("s3://visits:80/a", "bucket"),
        ("s3://key:secret@visits/a", "bucket"),
        ("s3://../a", "bucket"),
        ("s3://vis..its/a", "bucket"),
        ("s3://visits%2f/a", "bucket"),
        ("s3://visits?x/a", "bucket"),
        ("s3://visits@clinic.dfs.core.windows.net/a", "bucket"),
        ("az://visits@evil.example/a", "bucket"),
        ("az://visits@clinic.dfs.core.windows.net.evil.example/a", "bucket"),
        ("s3://visits\n/a", "bucket"),
        ("s3://visits//a", "empty part"),
        ("s3://visits/a//b", "empty part"),
        ("s3://visits/a//", "empty part"),
        ("s3://visits//", "empty part"),
        ("s3://visits/../other/a", "empty part"),
        ("s3://visits/a/..", "empty part"),
        ("s3://visits/./a", "empty part"),
        ("s3://visits/a%2e%2e/b", "literally"),
        ("s3://visits/a%20b", "literally"),
        ("s3://visits/a?versionId=1", "literally"),
        ("s3://visits/a#b", "literally"),
        ("s3://visits/..\\a", "literally"),
        ("s3://visits/a\nb", "literally"),
        ("s3://visits/a\x7f", "literally"),
        (f"s3://visits/{'a' * 1025}", "1024"),
        (f"s3://visits/{'ä' * 513}", "1024"),
    ],
)
def test_what_could_be_understood_in_two_ways_is_refused_without_its_words(uri: str, why: str) -> None:
    with pytest.raises(ValueError, match=why) as refused:
        Location.parse(uri)
    assert "visits" not in str(refused.value)


def test_a_key_of_1024_bytes_is_read() -> None:
    assert len(Location.parse(f"s3://visits/{'ä' * 512}").key) == 512


@pytest.mark.parametrize(
    ("rules", "uri", "may"),
    [
        ("s3://visits", "s3://visits/a", True),
        ("s3://visits/", "s3://visits/a/b", True),
        ("s3://visits/a/", "s3://visits/a/b", True),
        ("s3://visits/a/", "s3://visits/a/b/c", True),
        ("s3://other, s3://visits/a/", "s3://visits/a/b", True),
        ("s3://visits/a/", "s3://visits/ab/c", False),
        ("s3://visits/a/", "s3://visits/a", False),
        ("s3://visits/a/", "s3://visits/b/a/c", False),
        ("s3://visits/a/", "s3://visits/A/b", False),
        ("s3://visits", "s3://visits2/a", False),
        ("s3://visits", "gs://visits/a", False),
        ("az://visits", "abfss://visits/a", True),
        ("az://visits", "abfss://visits@clinic.dfs.core.windows.net/a", False),
        ("az://visits@clinic.dfs.core.windows.net", "abfss://visits@clinic.dfs.core.windows.net/a", True),
        ("az://visits@clinic.dfs.core.windows.net", "az://visits@other.dfs.core.windows.net/a", False),
        ("az://visits@clinic.dfs.core.windows.net", "az://visits/a", False),
    ],
)
def test_an_object_must_lie_in_a_listed_bucket_and_under_its_prefix(
    rules: str, uri: str, *, may: bool
) -> None:
    assert allowed(rules, uri) is may


def test_without_a_list_nothing_may_be_read() -> None:
    assert not BucketRules.parse(None).allow(Location.parse("s3://visits/a"))


@pytest.mark.parametrize(
    "rules",
    ["", ",", "visits", "s3://", "s3://*", "s3://visits/a", "s3://visits,", "s3://visits/../a/", "all"],
)
def test_a_list_that_is_none_is_refused_with_examples(rules: str) -> None:
    with pytest.raises(ValueError, match="expected a list separated by commas of buckets"):
        BucketRules.parse(rules)
