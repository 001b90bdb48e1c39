"""The ledger: who runs a job, how often it was tried, and how it ended; soft state in Redis.

Redis keys:

=========================  ======  ==================================================================
key                        type    content and life
=========================  ======  ==================================================================
``corti:v1:job:<id>``      hash    ``state`` (running, finished), ``owner`` (name of a claim) and
                                   ``lease`` (ms, by the clock of Redis) while it is claimed, ``fence``,
                                   ``attempts``, ``interaction`` and ``url`` once there is one; when
                                   finished ``outcome``, and until it is delivered ``event``,
                                   ``reply_to`` and ``letter`` (encrypted when a key is configured).
                                   Lives `keep` seconds after the last change
``corti:v1:outbox``        zset    job id -> time (ms) from which anybody may deliver its result; gone
                                   when it is delivered
``corti:v1:outbox:since``  zset    job id -> time (ms) at which its result was stored; gone with it
``corti:v1:ended``         zset    job id -> time (ms) at which its result was delivered, for ten minutes: so
                                   each worker learns what the others have ended
``corti:v1:epoch``         string  when Redis was last seen without this key: it changes when Redis has
                                   lost its data
``corti:v1:quarantine``    string  there while nothing may be claimed, because Redis has lost its data:
                                   for one lease, in which every worker says again what runs and what
                                   has ended
``corti:v1:cap:<name>``    zset    name of a claim -> end of its lease (ms): streams of a tenant now, by the
                                   name that jobs give
``corti:v1:fleet:<lane>``  zset    name of a process -> time (ms) at which it counts as gone
``...:running``            hash    name of a process -> jobs it runs
``...:observer``           string  name of the process that tells of the whole installation
=========================  ======  ==================================================================

Versions of the worker that share ``corti:v1:`` run side by side on these keys, in a rollout and on its way
back. So a version may add fields, which others keep as they are, and changes the meaning of none. One that
has to, says so in the record: a ``format`` other than 1 (missing: 1) is left alone by those that do not know
it, and its job waits for a worker that does. What no record can tell gets other keys, ``corti:v2:``.

A fence is a time in microseconds, or one more than the last if that is larger: so it grows even across a
Redis that was restarted empty. Losing Redis may cost a repeat, never a job: the broker carries the job.
"""

from worker.store.ledger.cap import TenantCap
from worker.store.ledger.caps import TenantCaps
from worker.store.ledger.fleet import Fleet
from worker.store.ledger.lease_renewer import LeaseRenewer
from worker.store.ledger.ledger import RedisLedger

__all__ = ["Fleet", "LeaseRenewer", "RedisLedger", "TenantCap", "TenantCaps"]
