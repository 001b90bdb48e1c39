"""The shared token cache: one token request per token lifetime, for the whole fleet.

Redis keys, where `<id>` is a digest of token endpoint, client id and whether the token is encrypted:

=============================  ======  ==============================================================
key                            type    content and life
=============================  ======  ==============================================================
``corti:v1:token:<id>``        hash    ``value`` (token, encrypted when a key is configured),
                                       ``generation`` (random name), ``expires_at`` and ``lifetime``
                                       (ms, by the clock of Redis); expires with the token
``corti:v1:token:<id>:lock``   string  name of the process that is fetching; expires after `LOCK_MS`
=============================  ======  ==============================================================

Losing Redis costs extra requests, never a job: each process then fetches for itself.
"""

from worker.store.token_cache.cache import TokenCache

__all__ = ["TokenCache"]
