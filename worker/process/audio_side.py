"""Audio's side of a process: what all tenants read with, and for each tenant its library."""

import threading
from contextlib import ExitStack
from functools import cache, partial
from typing import TYPE_CHECKING

from worker.audio.blocking import BlockingCalls
from worker.audio.downloads import Downloads
from worker.audio.library import Library
from worker.audio.roots import Roots
from worker.audio.source import OpenObject, Sources
from worker.audio.spool import Spool
from worker.clock import Clock
from worker.network import trust
from worker.network.buckets import BucketRules
from worker.network.hosts import HostRules
from worker.settings import Settings, Tenant

if TYPE_CHECKING:
    from worker.audio.objects import Objects


class AudioSide:
    """Makes what a process needs to read audio. Made once in a process.

    Args:
        settings: Valid settings.
        clock: For time.
        stack: Closes what is made here.
    """

    def __init__(self, settings: Settings, clock: Clock, stack: ExitStack) -> None:
        self._settings = settings
        self._clock = clock
        self._calls = BlockingCalls()
        stack.callback(self._calls.close)
        self._roots = Roots.parse(settings.audio_root)
        self._downloads = Downloads(
            HostRules.parse(settings.audio_hosts),
            self._calls,
            clock,
            context=trust.context(None),
            timeout=settings.http_timeout,
            least_speed=settings.download_min_speed,
            max_bytes=settings.download_max_bytes,
        )
        stack.callback(self._downloads.close)
        self._objects = cache(self._new_objects)
        self._spool = Spool(settings.spool_dir, settings.spool_bytes)
        self._turn = threading.BoundedSemaphore(settings.conversions)

    def library(self, tenant: Tenant) -> Library:
        """A tenant's library of audio. They differ in the buckets that may be read, and share all else."""
        settings = self._settings
        return Library(
            Sources(self._downloads, self._roots, self._calls, self._opener(tenant)),
            chunk_seconds=settings.chunk_seconds,
            max_seconds=settings.audio_max_seconds,
            wav_as=settings.wav_as,
            spool=self._spool,
            turn=self._turn,
        )

    def _opener(self, tenant: Tenant) -> OpenObject | None:
        if tenant.audio_buckets is None:
            return None
        # Imported here: who reads no object store need not have the library's 5 MB in memory.
        from worker.audio.objects import Access  # noqa: PLC0415

        access = Access(BucketRules.parse(tenant.audio_buckets), tenant.store_credentials)
        return partial(self._objects().open, access)

    def _new_objects(self) -> "Objects":
        from worker.audio.objects import Objects  # noqa: PLC0415
        from worker.audio.stores import Stores  # noqa: PLC0415

        settings = self._settings
        stores = Stores(
            endpoint=settings.s3_endpoint,
            region=settings.s3_region,
            allow_http=settings.s3_allow_http,
            ca_file=settings.s3_ca_file,
            timeout=settings.http_timeout,
        )
        return Objects(
            stores,
            self._calls,
            self._clock,
            timeout=settings.http_timeout,
            least_speed=settings.download_min_speed,
            max_bytes=settings.download_max_bytes,
        )
