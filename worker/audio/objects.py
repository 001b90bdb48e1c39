"""Audio in object stores: S3 and what speaks like it, Google Cloud Storage, Azure.

Where a job may point is the tenant's list of buckets. With which credentials, and to which server, is never
said by a job. The library is obstore: one for three clouds. Its calls wait in Rust, where nothing of ours can
end them, so each is made on a thread that can be left behind.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from worker.audio.blocking import BlockingCalls
from worker.audio.object_failures import mapped
from worker.audio.object_version import ObjectVersion
from worker.audio.reading import Source
from worker.audio.sockets import Wait
from worker.audio.stores import Stores
from worker.clock import Clock
from worker.concurrency.interrupt import Interrupt
from worker.contract.errors import PermanentError, Reason
from worker.network.buckets import BucketRules, Location
from worker.settings.credentials import Credentials

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Access:
    """What a tenant may read.

    Attributes:
        rules: Its buckets.
        credentials: Reads its own credentials for a kind of store; None stands for the environment's.
    """

    rules: BucketRules
    credentials: Callable[[str], Credentials | None]


class Objects:
    """Opens objects. One object serves all tenants and job threads.

    Args:
        stores: Makes connections.
        calls: Makes each call of obstore, because nothing can end one that waits.
        clock: For time.
        timeout: Seconds until a store must have answered; also the longest silence.
        least_speed: Seconds of audio that each second of waiting must bring; 0 for no limit.
        max_bytes: The largest object.
    """

    def __init__(
        self,
        stores: Stores,
        calls: BlockingCalls,
        clock: Clock,
        *,
        timeout: float,
        least_speed: float,
        max_bytes: int,
    ) -> None:
        self._stores = stores
        self._calls = calls
        self._clock = clock
        self._timeout = timeout
        self._least_speed = least_speed
        self._max_bytes = max_bytes

    @contextmanager
    def open(self, access: Access, uri: str, interrupt: Interrupt) -> Iterator[Source]:
        """Open an object and ask for its first bytes.

        Args:
            access: Of the job's tenant.
            uri: Of the job.
            interrupt: Ends the waiting for the store, here and later.

        Raises:
            JobError: `audio_unreachable`, also while it is read.
            Interrupted: By `interrupt`, also while it is read.
        """
        location = allowed(uri, access.rules)
        wait = Wait(interrupt, self._clock, self._timeout, self._least_speed)
        call = partial(_call, wait, self._calls)
        store = call(lambda: self._stores.get(location, access.credentials(location.kind)))
        found = ObjectVersion(store, location.key, call)
        found.begin(self._max_bytes)
        wait.answered()
        yield Source(
            found.read,
            found.media_type,
            at_hand=False,
            heard=wait.speed.heard,
            size=found.size,
            read_at=found.read_at,
        )


def allowed(uri: str, rules: BucketRules) -> Location:
    """Where an object lies that may be read; raises PermanentError for every other."""
    try:
        location = Location.parse(uri)
    except ValueError as error:
        raise _refused(f"audio.uri is no address of an object: {error}") from None
    if not location.key or location.key.endswith("/"):
        # The library would drop the slash, and read the object of another name.
        raise _refused("audio.uri is no address of an object: its key is empty or ends with a slash")
    if not rules.allow(location):
        raise _refused(
            "audio.uri lies outside of the tenant's buckets: see CORTI_WORKER_AUDIO_BUCKETS, or the tenant's "
            "file audio-buckets"
        )
    return location


def _call(wait: Wait, calls: BlockingCalls, function: Callable[[], T]) -> T:
    """Make a call of obstore, within the limits of this job's waiting."""

    def guarded() -> T:
        # On the call's own thread: what obstore raises there is never anything else, also no interrupt.
        try:
            return function()
        except BaseException as error:  # noqa: BLE001  # a panic of its Rust code is no Exception
            raise mapped(error) from None

    return wait.until_returned(calls, guarded)


def _refused(text: str) -> PermanentError:
    return PermanentError(Reason.AUDIO_UNREACHABLE, text)
