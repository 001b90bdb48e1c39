"""The faults that the worker is built to survive, and the alerts that each must fire.

Minutes are counted from the fault. An alert that is not listed for a fault must not fire.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from cryptography.fernet import Fernet

from tests.system.alerts import acts
from tests.system.alerts.acts import Act
from tests.system.alerts.scene import STEADY

REDIS, RABBITMQ = ("redis",), ("rabbitmq",)
BOTH = REDIS + RABBITMQ
#: Alerts on an error budget over a long time: once it is spent, they may fire until long after the fault.
_SPENT = frozenset({"CortiJobsFailingSlowly", "CortiJobsStartLateSlowly"})
#: Alerts that may fire when jobs begin again elsewhere, as after a lease that ran out while Redis was away.
#: Whether they fire is chance: a worker may take over a dead worker's job before its own first scrape.
_BEGUN_AGAIN = frozenset({"CortiWorkersDying", "CortiClaimsAtRisk"})


@dataclass(frozen=True, slots=True)
class Fault:
    """A fault.

    Attributes:
        breaks: Causes the fault.
        mends: Repairs it.
        fires: Alert -> minutes within which it has to fire.
        before: Prepares the scene before the fault.
        may: Warnings that may fire or not, by chance.
        brokers: The brokers on which the fault is tried: both, where its symptoms come from the broker.
        seconds: Seconds from the fault to the end of the recording of its steady state.
        steady: The last seconds of these, which show the steady state.
        token_seconds: Lifetime of a token.
        settings: Settings of each worker.
        interval: Seconds between two jobs of the load.
    """

    breaks: Act
    mends: Act = lambda _: None
    fires: Mapping[str, float] = field(default_factory=dict)
    before: Act = lambda _: None
    may: frozenset[str] = frozenset()
    brokers: tuple[str, ...] = REDIS
    seconds: float = 12.0
    steady: float = STEADY
    token_seconds: float = 300.0
    settings: Mapping[str, object] = field(default_factory=dict)
    interval: float = 1.0


FAULTS: Mapping[str, Fault] = {
    # -- faults that take a minute
    "what piled up in an outage starts late": Fault(
        acts.pile_up,
        acts.clear,
        {"CortiServiceAway": 10.0, "CortiSlotsFull": 17.0},
        seconds=66.0,
        interval=5.0,
    ),
    "more jobs than slots": Fault(
        acts.more_than_slots,
        acts.feed_good,
        {"CortiJobsStartLate": 5.0, "CortiSlotsFull": 17.0},
        may=_SPENT,
        seconds=72.0,
        steady=13.0,  # has no factor in common with the samples' 15 s, so that each second is sampled
        settings={"slots": 1},
        interval=5.0,
    ),
    # -- no fault
    "no fault": Fault(lambda _: None, brokers=BOTH, seconds=8.0),
    # -- tokens and the service
    "the auth server is away": Fault(
        acts.sandbox("auth_down", how="cut"),
        acts.clear,
        {"CortiNoToken": 9.0, "CortiSlotsFull": 17.0},
        seconds=20.0,
        token_seconds=8.0,
    ),
    "the credentials are refused": Fault(
        acts.refuse_credentials,
        acts.accept_credentials,
        {"CortiNoToken": 9.0, "CortiSlotsFull": 17.0},
        seconds=16.0,
    ),
    # Tokens are short-lived, so that the steady state shows the healthy tenant's renewals.
    "one of two tenants has a wrong secret": Fault(
        acts.refuse_one_tenant,
        acts.accept_one_tenant,
        {"CortiTenantNoToken": 7.0},
        acts.jobs_of_both_tenants,
        seconds=20.0,
        steady=9.0,
        token_seconds=8.0,
    ),
    "every token is revoked once": Fault(acts.sandbox("revoke_tokens")),
    "the API answers 503": Fault(
        acts.sandbox("api_error", status=503),
        acts.clear,
        {"CortiServiceAway": 10.0, "CortiSlotsFull": 17.0},
        seconds=16.0,
    ),
    "streams are refused with 503": Fault(
        acts.sandbox("upgrade_refused", status=503),
        acts.clear,
        {"CortiServiceAway": 10.0, "CortiSlotsFull": 17.0},
        seconds=16.0,
    ),
    "the API answers 429": Fault(
        acts.sandbox("rate_limit"),
        acts.clear,
        {"CortiServiceAway": 10.0, "CortiRateLimited": 12.0, "CortiSlotsFull": 17.0},
        seconds=16.0,
    ),
    "every stream breaks": Fault(
        acts.sandbox("drop_socket", after_seconds=0.3),
        acts.clear,
        {
            "CortiJobsFailing": 5.0,
            "CortiStreamsBreaking": 12.0,
            "CortiDeadLetters": 18.0,
        },
        may=_SPENT,
        seconds=20.0,
    ),
    "some streams break": Fault(
        acts.feed(acts.break_some_streams), acts.feed_good, {"CortiStreamsBreaking": 12.0}
    ),
    "the quota is exhausted": Fault(
        acts.sandbox("quota"), acts.clear, {"CortiJobsFailing": 5.0, "CortiDeadLetters": 18.0}, may=_SPENT
    ),
    # -- broker and Redis
    "the broker is away": Fault(
        acts.cut, acts.mend, {"CortiDependencyDown": 3.0}, may=_BEGUN_AGAIN, brokers=BOTH, seconds=16.0
    ),
    "Redis freezes": Fault(
        lambda scene: scene.redis.pause(),
        lambda scene: scene.redis.resume(),
        {"CortiDependencyDown": 3.0},
        may=_BEGUN_AGAIN,
        seconds=24.0,
    ),
    "Redis beside RabbitMQ is away": Fault(
        lambda scene: scene.redis.stop(),
        lambda scene: scene.redis.start(),
        {"CortiDependencyDown": 3.0, "CortiSlotsFull": 17.0},
        may=_BEGUN_AGAIN,
        brokers=RABBITMQ,
        seconds=16.0,
    ),
    "Redis beside RabbitMQ is emptied": Fault(acts.empty_redis, brokers=RABBITMQ, seconds=16.0),
    "the line to RabbitMQ freezes": Fault(
        lambda scene: acts.line_of(scene).freeze(),
        lambda scene: acts.line_of(scene).thaw(),
        {"CortiQueueUnobserved": 5.0},
        brokers=RABBITMQ,
        seconds=30.0,
    ),
    # -- workers
    "a worker is killed": Fault(
        acts.kill, acts.replace, {"CortiWorkersDying": 2.0}, brokers=BOTH, seconds=26.0
    ),
    "all are killed": Fault(
        acts.kill_all, acts.replace_both, {"CortiNoProcess": 4.0}, may=_BEGUN_AGAIN, seconds=8.0
    ),
    "only the door is left": Fault(
        acts.only_the_door_is_left,
        acts.replace_both,
        {"CortiJobsNotStarting": 12.0},
        acts.with_a_door,
        may=_BEGUN_AGAIN,
        seconds=30.0,
    ),
    "a worker is drained in mid-stream": Fault(acts.stop_in_mid_stream, seconds=14.0),
    "a job kills its workers": Fault(
        acts.kill_whoever_takes_it,
        fires={"CortiDeadLetters": 18.0},
        may=_BEGUN_AGAIN,
        settings={"attempts": 2, "lease": 4, "visibility_timeout": 4},
    ),
    "a worker freezes beyond its lease": Fault(
        acts.freeze_beyond_the_lease, fires={"CortiWorkersDying": 2.0, "CortiClaimsAtRisk": 4.0}, seconds=14.0
    ),
    "a worker gets half a core": Fault(
        acts.starve,
        fires={"CortiPacingLate": 13.0},
    ),
    "one worker is cut off": Fault(acts.cut_off_one, fires={"CortiWorkerNotReady": 12.0}, seconds=20.0),
    "one worker has other keys": Fault(
        acts.other_keys,
        acts.end_the_last,
        {"CortiTokenCacheErrors": 13.0},
        seconds=24.0,
        steady=18.0,  # each process reads the cache every five seconds, if it has a job then
        settings={"encryption_keys": Fernet.generate_key().decode()},
        interval=0.4,
    ),
    "the urgent lane is lost": Fault(
        lambda scene: scene.workers[2].kill(),
        acts.with_an_urgent_lane,
        {"CortiQueueUnobserved": 5.0},
        acts.with_an_urgent_lane,
        seconds=8.0,
    ),
    # -- jobs and results
    "files without audio": Fault(
        acts.feed(acts.every_second("none")), acts.feed_good, {"CortiDeadLetters": 18.0}
    ),
    "files that are not there": Fault(
        acts.feed(acts.every_second("missing")),
        acts.feed_good,
        {"CortiJobsFailing": 5.0, "CortiDeadLetters": 18.0},
        may=_SPENT,
    ),
    "messages that are no jobs": Fault(
        acts.feed(lambda scene, number: b'{"job_id": "x"}' if number % 2 else scene.good()),
        acts.feed_good,
        {"CortiDoorRefusing": 10.0, "CortiDeadLetters": 18.0},
    ),
    "a queue of results refuses them": Fault(
        acts.refuse_replies, acts.take_replies, {"CortiResultsStuck": 8.0}, brokers=BOTH, seconds=16.0
    ),
    "results that nobody reads": Fault(
        acts.stop_reading, acts.read_on, {"CortiResultsUnread": 22.0}, brokers=BOTH, steady=9.0, seconds=16.0
    ),
    "the audit trail's disk is full": Fault(
        acts.full_disk, acts.end_the_last, {"CortiAuditLost": 2.0}, interval=0.4
    ),
}
