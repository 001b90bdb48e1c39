"""The ledger's record of a job, in Redis. Implements `Claims`, `Attempts` and `Outbox`."""

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from uuid import uuid4

import redis

from worker.concurrency.heartbeat import waiting
from worker.jobs.claims import Busy, Claim, ClaimLost, Finished, LedgerUnavailable, OutboxEntry
from worker.jobs.ports import Cipher
from worker.network.connection_faults import redis_fault
from worker.store.ledger import scripts

OUTBOX = "corti:v1:outbox"
SINCE = "corti:v1:outbox:since"
EPOCH = "corti:v1:epoch"
QUARANTINE = "corti:v1:quarantine"
ENDED = "corti:v1:ended"
#: Ended jobs that a process remembers: an hour of a busy one, in a few MB.
_MOST_ENDED = 20_000
_MOST = 20
#: Milliseconds for which workers can learn that a job has ended, and how many such jobs they read at a time.
_LEARN_MS, _MOST_LEARNED = 600_000, 2_000


def job_key(job_id: str) -> str:
    """The key of a job's record."""
    return f"corti:v1:job:{job_id}"


@contextmanager
def mapped() -> Iterator[None]:
    """Raise LedgerUnavailable for every failure of Redis: a job can only wait, or go on without Redis."""
    try:
        with waiting():
            yield
    except redis.RedisError as error:
        raise LedgerUnavailable(type(error).__name__, redis_fault(error)) from None


class RedisLedger:
    """The ledger.

    Args:
        client: Redis, with time-outs.
        cipher: Encrypts stored results.
        lease: Seconds a claim lives without renewal.
        keep: Seconds the record of a job is kept.
        keep_results: Keep delivered results as long as the record, so that a repeat can be answered.
    """

    def __init__(
        self, client: redis.Redis, cipher: Cipher, *, lease: float, keep: float, keep_results: bool
    ) -> None:
        self.client = client
        self._cipher = cipher
        self.lease_ms = int(lease * 1000)
        self.keep_ms = int(keep * 1000)
        self._keep_results = int(keep_results)
        self._known_epoch = ""
        self._notes: dict[str, Claim] = {}
        self._ended: OrderedDict[str, None] = OrderedDict()
        self._learned = 0.0
        self._epoch = client.register_script(scripts.EPOCH)
        self._say_ended = client.register_script(scripts.ENDED)
        self._claim = client.register_script(scripts.CLAIM)
        self._renew = client.register_script(scripts.RENEW)
        self._attempt = client.register_script(scripts.ATTEMPT)
        self._release = client.register_script(scripts.RELEASE)
        self._remember = client.register_script(scripts.REMEMBER)
        self._store = client.register_script(scripts.STORE)
        self._delivered = client.register_script(scripts.DELIVERED)
        self._take = client.register_script(scripts.TAKE)
        self._backlog = client.register_script(scripts.BACKLOG)

    def claim(self, job_id: str) -> Claim | Busy | Finished:
        """See `worker.jobs.claims.Claims`."""
        owner = uuid4().hex
        with mapped():
            epoch, *found = self._claim(
                keys=[EPOCH, QUARANTINE, job_key(job_id)],
                args=[self._known_epoch, self.lease_ms, owner, self.keep_ms],
            )
        self._known_epoch = self._known_epoch or epoch.decode()
        match found:
            case [b"finished", undelivered]:
                return Finished(bool(undelivered))
            case [b"busy", left_ms]:
                return Busy(left_ms / 1000)
        _, fence, attempts, takeover, interaction, url = found
        claim = Claim(job_id, owner, fence, attempts, bool(takeover), interaction.decode(), url.decode())
        self._notes[owner] = claim
        return claim

    def release(self, claim: Claim) -> None:
        """See `worker.jobs.claims.Claims`."""
        with mapped():
            self._release(keys=[job_key(claim.job_id)], args=[claim.owner])

    def again(self, claim: Claim) -> int:
        """See `worker.jobs.claims.Attempts`."""
        with mapped():
            number = int(self._attempt(keys=[job_key(claim.job_id)], args=[claim.owner]))
        if number == 0:
            raise ClaimLost
        self._note(claim.owner, attempts=number)
        return number

    def remember(self, claim: Claim, interaction_id: str, stream_url: str) -> None:
        """See `worker.jobs.claims.Attempts`."""
        self._note(claim.owner, interaction_id=interaction_id, stream_url=stream_url)
        with mapped():
            self._remember(keys=[job_key(claim.job_id)], args=[claim.owner, interaction_id, stream_url])

    def forget(self, claim: Claim) -> None:
        """Drop the notes on a claim that is over in this process."""
        self._notes.pop(claim.owner, None)

    def _note(self, owner: str, **changes: Any) -> None:
        """Note what a renewal has to write again if Redis has lost its data."""
        noted = self._notes.get(owner)
        if noted is not None:
            self._notes[owner] = replace(noted, **changes)

    def store(self, claim: Claim, outbox_entry: OutboxEntry) -> None:
        """See `worker.jobs.claims.Outbox`."""
        letter = self._cipher.encrypt(outbox_entry.letter) if outbox_entry.letter is not None else b""
        with mapped():
            stored = self._store(
                keys=[job_key(claim.job_id), OUTBOX, SINCE],
                args=[
                    claim.owner,
                    claim.fence,
                    self.lease_ms,
                    self.keep_ms,
                    f"{outbox_entry.outcome} {outbox_entry.event_type}",
                    self._cipher.encrypt(outbox_entry.event),
                    outbox_entry.reply_to or "",
                    letter,
                    claim.job_id,
                ],
            )
        if not stored:
            raise ClaimLost

    def delivered(self, job_id: str) -> None:
        """See `worker.jobs.claims.Outbox`."""
        with mapped():
            self._delivered(
                keys=[job_key(job_id), OUTBOX, SINCE, ENDED],
                args=[job_id, self._keep_results, self.keep_ms, _LEARN_MS],
            )
        self._note_end(job_id)

    def learn(self) -> None:
        """Learn which jobs have ended elsewhere: their workers may be gone when Redis loses its data."""
        with mapped():
            ended: Any = self.client.zrangebyscore(
                ENDED, self._learned, "+inf", start=0, num=_MOST_LEARNED, withscores=True
            )
        for job_id, at in ended:
            self._learned = at
            self._note_end(job_id.decode())

    def _note_end(self, job_id: str) -> None:
        """Remember the end of a job, to write it again if Redis loses its data."""
        self._ended[job_id] = None
        if len(self._ended) > _MOST_ENDED:
            self._ended.popitem(last=False)

    def outbox_entry(self, job_id: str) -> OutboxEntry | None:
        """The stored result of a job, if there is one that we can read."""
        with mapped():
            fields: Any = self.client.hmget(
                job_key(job_id), ["format", "outcome", "event", "reply_to", "letter"]
            )
        form, outcome, event, reply_to, letter = fields
        plain = self._cipher.decrypt(event) if event else None
        if plain is None or outcome is None or form not in {None, scripts.FORMAT.encode()}:
            return None
        name, _, event_type = outcome.decode().partition(" ")
        return OutboxEntry(
            job_id,
            name,
            event_type,
            plain,
            reply_to.decode() if reply_to else None,
            self._cipher.decrypt(letter) if letter else None,
        )

    def take_undelivered(self) -> list[str]:
        """Take over results that nobody delivers: their workers died, or gave up on the broker."""
        with mapped():
            ids = self._take(keys=[OUTBOX], args=[self.lease_ms, _MOST])
        return [job_id.decode() for job_id in ids]

    def backlog(self) -> tuple[int, float]:
        """How many results wait to be delivered, and for how many seconds the oldest has."""
        with mapped():
            count, age_ms = self._backlog(keys=[OUTBOX, SINCE])
        return int(count), age_ms / 1000

    def say_again(self) -> bool:
        """If Redis has lost its data, tell it which jobs have ended, here or elsewhere.

        Otherwise a redelivered message of such a job would run again. Nothing is claimed meanwhile: the first
        process that notices starts a quarantine.

        Returns:
            Whether Redis had lost its data.
        """
        with mapped():
            epoch = self._epoch(keys=[EPOCH, QUARANTINE], args=[self._known_epoch, self.lease_ms]).decode()
            lost = self._known_epoch not in {"", epoch}
            if lost:
                with self.client.pipeline(transaction=False) as pipe:
                    for job_id in tuple(self._ended):
                        self._say_ended(keys=[job_key(job_id)], args=["", self.keep_ms], client=pipe)
                    pipe.execute()
        if lost:
            self._learned = 0.0  # another Redis may have another time
        self._known_epoch = epoch
        return lost

    def renew(self, claims: list[Claim]) -> list[bool]:
        """Renew claims in one round trip; False for each that is lost."""
        with mapped(), self.client.pipeline(transaction=False) as pipe:
            for claim in (self._notes.get(held.owner, held) for held in claims):
                self._renew(
                    keys=[job_key(claim.job_id), OUTBOX],
                    args=[
                        claim.owner,
                        claim.fence,
                        self.lease_ms,
                        self.keep_ms,
                        claim.attempts,
                        claim.interaction_id,
                        claim.stream_url,
                        claim.job_id,
                    ],
                    client=pipe,
                )
            return [bool(renewed) for renewed in pipe.execute()]
