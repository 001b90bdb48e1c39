"""RabbitMQ gives up a message: it becomes one dead letter of ours, and its producer is told once."""

import json
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import kombu
import pytest
from amqp.exceptions import NotFound

from tests.system.audio import clip
from tests.system.installation import Installation
from tests.system.versions import declare_as_before
from worker.broker.topology import DEAD, DELIVERY_LIMIT, JOBS, WORK

pytestmark = pytest.mark.parametrize("broker_url", ["rabbitmq"], indirect=True)

REPLIES = "corti.results.clinic"


class Stranger:
    """A RabbitMQ client that does not belong to the worker."""

    def __init__(self, url: str) -> None:
        self._connection = kombu.Connection(url, transport_options={"confirm_publish": True})
        self.channel = self._connection.channel()
        self.channel.auto_decode = False

    def close(self) -> None:
        self._connection.close()

    def put_for_a_moment(self, body: bytes) -> None:
        """Put a message on corti.jobs that expires after a millisecond."""
        message = self.channel.prepare_message(body, properties={"expiration": "1"})
        self.channel.basic_publish(message, exchange="", routing_key=JOBS, mandatory=True)

    def take(self, queue: str, seconds: float = 20) -> Any:
        """Take a message without acknowledging it; None if there is none within so many seconds."""
        deadline = time.monotonic() + seconds
        while (message := self._look(queue)) is None and time.monotonic() < deadline:
            time.sleep(0.05)
        return message

    def _look(self, queue: str) -> Any:
        try:
            return self.channel.basic_get(queue)
        except NotFound:  # closes the channel; the queue exists once the door has its first job
            self.channel = self._connection.channel()
            return None

    def reject(self, queue: str) -> None:
        """Take a message and reject it without requeueing."""
        message = self.take(queue)
        assert message is not None
        self.channel.basic_reject(message.delivery_tag, requeue=False)

    def wear_out(self, queue: str) -> int:
        """Take a message and requeue it until RabbitMQ gives it up; return how often it was requeued."""
        times = 0
        while (message := self.take(queue, 20 if times == 0 else 1)) is not None:
            self.channel.basic_reject(message.delivery_tag, requeue=True)
            times += 1
        return times


@pytest.fixture
def stranger(broker_url: str) -> Iterator[Stranger]:
    with closing(Stranger(broker_url)) as made:
        yield made


def letters(installation: Installation, count: int) -> list[dict[str, Any]]:
    """Exactly `count` dead letters of ours, with nothing else on corti.dead."""
    found = installation.dead(count, timeout=30)
    assert len(found) == count
    assert installation.box.take(DEAD, 2.0) is None
    assert all({"version", "reason", "id", "sha256"} <= letter.keys() for letter in found)
    return found


def reply(installation: Installation) -> dict[str, Any]:
    """The one event on the clinic's queue."""
    body = installation.box.take(REPLIES, 20)
    assert body is not None
    assert installation.box.take(REPLIES, 2.0) is None
    event: dict[str, Any] = json.loads(body)
    return event


def test_the_producer_is_told_of_a_job_that_expired_on_the_queue_of_jobs(
    installation: Installation, stranger: Stranger
) -> None:
    door = installation.start_door().ready()  # declares the queues
    door.terminate()
    job = installation.job(Path("/nowhere.wav"), metadata={"visit": 7}, reply_to=REPLIES)
    elsewhere = installation.job(Path("/nowhere.wav"), reply_to="somebody.elses")
    stranger.put_for_a_moment(json.dumps(job).encode())
    stranger.put_for_a_moment(b"no job at all")
    stranger.put_for_a_moment(json.dumps(elsewhere).encode())
    time.sleep(0.2)
    again = installation.start_door().ready()

    dead = letters(installation, 3)
    event = reply(installation)

    assert {letter["reason"] for letter in dead} == {"undeliverable"}
    assert {letter["queue"] for letter in dead} == {JOBS}
    by_job = {letter.get("job_id"): letter for letter in dead}
    assert by_job[None]["payload"] == "no job at all"
    assert json.loads(by_job[job["job_id"]]["payload"]) == job
    assert by_job[job["job_id"]]["id"] == f"{job['job_id']}/dead-letter"
    assert "expir" in by_job[job["job_id"]]["detail"]
    assert (event["type"], event["subject"]) == ("corti.job.failed.v1", job["job_id"])
    assert (event["data"]["reason"], event["data"]["metadata"]) == ("undeliverable", {"visit": 7})
    installation.no_more_finals(1)
    assert again.metric("corti_dead_letters_total", reason="undeliverable") == 3
    assert "somebody.elses" not in again.text()


def test_the_producer_is_told_of_a_job_that_a_stranger_rejected_from_the_work_queue(
    installation: Installation, stranger: Stranger
) -> None:
    installation.start_door().ready()
    job = installation.job(Path("/nowhere.wav"))
    installation.put(job)
    stranger.reject(WORK)

    (letter,) = letters(installation, 1)
    finals = installation.finals(1, timeout=20)
    # The producer puts the same job on the queue again; the job has ended, so nothing may follow.
    installation.put(job)
    stranger.reject(WORK)
    installation.no_more_finals(3)

    assert (letter["reason"], letter["queue"], letter["job_id"]) == ("undeliverable", WORK, job["job_id"])
    assert json.loads(letter["payload"]) == job
    assert installation.outcomes(finals) == {"undeliverable": 1}
    assert installation.box.take(DEAD, 1.0) is None


def test_the_producer_is_told_of_a_job_that_was_delivered_too_often(
    installation: Installation, stranger: Stranger
) -> None:
    installation.start_door().ready()
    job = installation.job(Path("/nowhere.wav"))
    installation.put(job)
    assert stranger.wear_out(WORK) == DELIVERY_LIMIT + 1

    (letter,) = letters(installation, 1)
    finals = installation.finals(1, timeout=20)

    assert (letter["reason"], letter["attempts"]) == ("undeliverable", 0)
    assert "too often" in letter["detail"]
    assert installation.outcomes(finals) == {"undeliverable": 1}


def test_a_rejected_copy_of_a_running_job_changes_nothing(
    installation: Installation, stranger: Stranger, tmp_path: Path
) -> None:
    path = tmp_path / "clip.wav"
    clip(path, 6.0, seed=1)
    worker = installation.start_worker(slots=1).ready()
    job = installation.job(path)
    installation.put(job)
    installation.wait_for_streams(1)
    installation.put(job)
    stranger.reject(WORK)

    finals = installation.finals(1, timeout=30)
    installation.until(lambda: worker.metric("corti_jobs_repeated_total", outcome="dropped") == 1, 40)
    installation.no_more_finals(1)

    assert installation.outcomes(finals) == {"completed": 1}
    assert installation.box.take(DEAD, 1.0) is None
    assert len(installation.streams()) == 1


def test_queues_of_an_earlier_version_are_used_as_they_are_with_one_warning_each(
    installation: Installation, tmp_path: Path
) -> None:
    declare_as_before(installation.broker_url)
    path = tmp_path / "clip.wav"
    clip(path, 1.0, seed=1)
    worker = installation.start_worker().ready()
    installation.put(installation.job(path, pace=4))

    finals = installation.finals(1, timeout=30)

    assert installation.outcomes(finals) == {"completed": 1}
    assert worker.text().count("queue_has_other_arguments") == 2
