"""The ledger: who runs a job, how often it was tried, and how it ended; soft state in Redis.

Redis keys:

=========================  ======  ==================================================================
key                        type    content and life
=========================  ======  ==================================================================
``corti:v1:job:<id>``      hash    ``state`` (running, finished), ``owner`` (name of a claim) and
                                   ``lease`` (ms, by the clock of Redis) while it is claimed, ``fence``,
                                   ``attempts``, ``interaction`` and ``url`` once there is one; when
                                   finished ``outcome``, and until it is delivered ``undelivered``,
                                   ``reply_to``, and ``event`` and ``letter`` (these two encrypted when a
                                   key is configured). ``event`` and ``reply_to`` stay if results are kept
                                   for repeats. Lives `keep` seconds after the last change
``corti:v1:outbox``        zset    job id -> time (ms) from which anybody may deliver its result; gone
                                   when it is delivered
``corti:v1:outbox:since``  zset    job id -> time (ms) at which its result was stored; gone with it
``corti:v1:ended``         zset    job id -> time (ms) at which its result was delivered, for ten minutes: so
                                   each worker learns which jobs have ended elsewhere
``corti:v1:epoch``         string  time at which Redis was last seen without this key: it changes when
                                   Redis has lost its data
``corti:v1:quarantine``    string  exists while nothing may be claimed, because Redis has lost its data:
                                   for one lease, in which every worker writes again which jobs run and
                                   which have ended
``corti:v1:cap:<name>``    zset    name of a claim -> end of its lease (ms): streams of a tenant now, by the
                                   name that jobs give
``corti:v1:fleet:<lane>``  zset    name of a process -> time (ms) at which it counts as gone
``...:running``            hash    name of a process -> jobs it runs
``...:observer``           string  name of the process that reports on the whole installation
=========================  ======  ==================================================================

All versions of the worker that use ``corti:v1:`` can run side by side on these keys, during a rollout and a
rollback. So a version may add fields, which other versions keep as they are, but must not change the meaning
of a field. A version that has to change a meaning writes a ``format`` other than 1 into the record (missing:
1). Workers that do not know this format leave the record alone, and its job waits for a worker that knows it.
A change that no record can express gets other keys, ``corti:v2:``.

A fence is a time in microseconds, or one more than the last fence if that is larger: so fences grow even if
Redis was restarted empty. Losing Redis may cost a repeat, never a job: the broker still has the job.
"""

from worker.store.ledger.cap import TenantCap
from worker.store.ledger.caps import TenantCaps
from worker.store.ledger.fleet import Fleet
from worker.store.ledger.lease_renewer import LeaseRenewer
from worker.store.ledger.ledger import RedisLedger

__all__ = ["Fleet", "LeaseRenewer", "RedisLedger", "TenantCap", "TenantCaps"]
