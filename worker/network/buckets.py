"""Which objects in object stores audio may be read from: listed buckets, or what lies under listed prefixes.

A producer names the object, and the credentials of the worker may open more than this tenant's recordings.
Therefore each tenant has a list, and what is not on it is not asked for.

An address is read strictly. Where two programs could understand it differently (percent-encoding, double
slashes, `..`), it is refused: a prefix must be compared with the very key that is read.
"""

import re
from dataclasses import dataclass
from typing import Self

#: The schemes that name an object, each with the kind of store. The Hadoop names of Azure mean the same.
SCHEMES = {"s3": "s3", "gs": "gs", "az": "az", "abfs": "az", "abfss": "az"}

_BUCKET = re.compile(r"[a-z0-9][a-z0-9._-]{2,221}")
#: How Hadoop names a container together with its account. Other endpoints are the operator's to set.
_WITH_ACCOUNT = re.compile(r"(?P<bucket>[^@]+)@(?P<account>[a-z0-9]{3,24})\.dfs\.core\.windows\.net")
#: `?` and `#` begin other parts of a URL, `%` begins an encoded character, and Azure takes `\` for `/`.
_AMBIGUOUS = re.compile(r"[%?#\\\x00-\x1f\x7f]")

#: Of all three stores. From a far longer one the library for them could make no request.
_LONGEST_KEY = 1024


@dataclass(frozen=True, slots=True)
class Location:
    """Where an object lies.

    Attributes:
        kind: `s3`, `gs` or `az`.
        bucket: Of the store; Azure's word is container.
        key: The object's name in the bucket, literally; in a rule, how it must begin.
        account: Azure's account if the address names one; otherwise it is the one of the credentials.
    """

    kind: str
    bucket: str
    key: str
    account: str = ""

    @classmethod
    def parse(cls, uri: str) -> Self:
        """Read the address of an object, or of everything under a prefix, which ends with a slash.

        Raises:
            ValueError: The address is none, or could be understood in two ways; the text shows no value.
        """
        scheme, separator, rest = uri.partition("://")
        kind = SCHEMES.get(scheme.lower())
        if not separator or kind is None:
            raise ValueError("its scheme is none of s3, gs, az, abfs and abfss")
        bucket, _, key = rest.partition("/")
        account = ""
        if kind == "az" and (both := _WITH_ACCOUNT.fullmatch(bucket)):
            bucket, account = both["bucket"], both["account"]
        if not _BUCKET.fullmatch(bucket) or ".." in bucket:
            raise ValueError("the name of its bucket is not valid")
        if _AMBIGUOUS.search(key):
            raise ValueError("its key has one of % ? # \\ or a control character; keys are read literally")
        if len(key.encode(errors="replace")) > _LONGEST_KEY:
            raise ValueError("its key is longer than 1024 bytes")
        if any(part in {"", ".", ".."} for part in key.removesuffix("/").split("/")) and key:
            raise ValueError("its key has an empty part, or one of . and .. between slashes")
        return cls(kind, bucket, key, account)


@dataclass(frozen=True, slots=True)
class BucketRules:
    """The places that objects may be read from.

    Attributes:
        places: What is allowed; the key in each is a prefix that ends with a slash, or empty for all.
    """

    places: tuple[Location, ...] = ()

    @classmethod
    def parse(cls, text: str | None) -> Self:
        """Read a list that is separated by commas; None stands for no place at all.

        Raises:
            ValueError: An item is no address of a bucket or prefix.
        """
        if text is None:
            return cls()
        try:
            places = tuple(Location.parse(item.strip()) for item in text.split(","))
        except ValueError:
            places = ()
        if not places or any(place.key and not place.key.endswith("/") for place in places):
            raise ValueError(
                "expected a list separated by commas of buckets (s3://bucket, gs://bucket, az://container, "
                "abfss://container@account.dfs.core.windows.net), each perhaps with a prefix that ends with "
                "a slash (s3://bucket/recordings/)"
            )
        return cls(places)

    def allow(self, found: Location) -> bool:
        """Whether an object may be read."""
        return any(
            (place.kind, place.account, place.bucket) == (found.kind, found.account, found.bucket)
            and found.key.startswith(place.key)
            for place in self.places
        )
