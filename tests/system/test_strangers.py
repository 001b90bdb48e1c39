"""Another program puts tasks on Celery's own queue, past the door: each becomes a dead letter of ours."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import kombu
import kombu.pools
import pytest
import redis
from amqp.exceptions import MessageNacked

from tests.system.audio import clip
from tests.system.installation import Installation
from worker.broker.redis_visibility import transport_options
from worker.broker.topology import DEAD, WORK
from worker.broker.work_queue import TASK, make_celery

SECRET = "Ada Lovelace"
NO_JOB = {"job_id": "job-of-a-stranger", "patient": {"name": SECRET}}


def until_taken(send: Callable[[], object]) -> None:
    """Send until the broker accepts: a quorum queue that was just declared refuses some messages."""
    while True:
        with suppress(MessageNacked):
            send()
            return


@pytest.mark.parametrize("protocol", [1, 2])
def test_tasks_of_strangers_are_kept_as_dead_letters_and_the_next_job_runs(
    installation: Installation, tmp_path: Path, protocol: int
) -> None:
    path = tmp_path / "short.wav"
    clip(path, 1.0, seed=1)
    options = None if installation.broker == "rabbitmq" else transport_options(60)
    worker = installation.start_worker(slots=3).ready()
    app = make_celery(installation.broker_url, redis_options=options, consumer_timeout=21600)
    app.conf.task_protocol = protocol
    if options is None:
        app.conf.broker_transport_options = {"confirm_publish": True}
    try:
        for args in (), (1,), (SECRET,), (SECRET, SECRET), ({"job_id": SECRET},), (json.dumps(NO_JOB),):
            until_taken(partial(app.send_task, TASK, args=args))
        until_taken(partial(app.send_task, TASK, kwargs={"text": SECRET}))
        until_taken(partial(app.send_task, f"{TASK}.of.next.year", args=(SECRET,)))
        with app.producer_or_acquire() as producer:
            publish = partial(producer.publish, routing_key=WORK)
            # A message that is no task at all, and one that cannot be decoded.
            until_taken(partial(publish, {"name": SECRET}, serializer="json", headers={"x": 1}))
            text = f"{{{SECRET}".encode()
            kind = {"content_type": "application/json", "content_encoding": "utf-8"}
            until_taken(partial(publish, text, **kind))
    finally:
        app.close()
        kombu.pools.reset()
    # More jobs than slots: they complete only if the strangers' tasks left their slots.
    jobs = [installation.job(path, pace=4) for _ in range(8)]
    installation.put(*jobs)

    finals = installation.finals(len(jobs), timeout=30)
    letters = installation.dead(10, timeout=20)

    assert installation.outcomes(finals) == {"completed": len(jobs)}
    assert len(letters) == 10
    assert installation.dead(1, timeout=2) == []
    assert {(letter["reason"], letter["queue"]) for letter in letters} == {("invalid_job", WORK)}
    assert sum(SECRET in letter["payload"] for letter in letters) == 8
    assert all(letter["errors"] for letter in letters)
    assert worker.metric("corti_dead_letters_total", reason="invalid_job") == len(letters)
    assert worker.get("/livez")[0] == worker.get("/readyz")[0] == 200
    assert SECRET not in worker.text()
    installation.until(lambda: worker.metric("corti_jobs_running") == 0, 10)


@contextmanager
def full(url: str) -> Iterator[None]:
    """The queue of dead letters refuses messages as long as the context lasts."""
    if url.startswith("redis"):
        with redis.Redis.from_url(url) as client:
            client.set(DEAD, "no list")
            yield
            client.delete(DEAD)
        return
    with kombu.Connection(url) as connection:
        channel = connection.default_channel
        limit = {"x-max-length": 1, "x-overflow": "reject-publish"}
        channel.queue_declare(DEAD, durable=True, auto_delete=False, arguments=limit)
        channel.basic_publish(channel.prepare_message(b"full"), exchange="", routing_key=DEAD)
        yield
        assert bytes(channel.basic_get(DEAD, no_ack=True).body) == b"full"


def test_a_task_of_a_stranger_stays_with_the_broker_until_its_dead_letter_is_confirmed(
    installation: Installation, tmp_path: Path
) -> None:
    path = tmp_path / "short.wav"
    clip(path, 1.0, seed=1)
    on_rabbit = installation.broker == "rabbitmq"
    options = None if on_rabbit else transport_options(60)
    app = make_celery(installation.broker_url, redis_options=options, consumer_timeout=21600)
    with full(installation.broker_url):
        worker = installation.start_worker(slots=3, publish_patience=1).ready()
        if on_rabbit:
            app.conf.broker_transport_options = {"confirm_publish": True}
        try:
            until_taken(partial(app.send_task, "task.of.a.stranger", args=(SECRET,)))
            until_taken(partial(app.send_task, TASK, args=(SECRET,)))
        finally:
            app.close()
            kombu.pools.reset()
        installation.put(installation.job(path, pace=4))
        finals = installation.finals(1, timeout=30)
        installation.until(lambda: worker.metric("corti_publish_retries_total") >= 6, 30)
        assert worker.get("/livez")[0] == 200
        assert worker.metric("corti_dead_letters_total", reason="invalid_job") == 0
    letters = installation.dead(2, timeout=30)

    assert installation.outcomes(finals) == {"completed": 1}
    assert len({letter["id"] for letter in letters}) == 2
    assert {letter["reason"] for letter in letters} == {"invalid_job"}
    assert installation.dead(1, timeout=2) == []
