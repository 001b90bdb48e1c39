"""Functions that cause the faults and repair them."""

import signal
import time
from collections.abc import Callable
from typing import Any

import kombu
from cryptography.fernet import Fernet

from ops.lib.worker_process import WorkerProcess
from tests.contract.relay import Relay
from tests.system.alerts.scene import CLINIC, Scene

Act = Callable[[Scene], object]


def sandbox(name: str, **parameters: Any) -> Act:
    return lambda scene: scene.sandbox.fault(name, **parameters)


def clear(scene: Scene) -> None:
    scene.sandbox.clear_faults()


def feed(make: Callable[[Scene, int], Any]) -> Act:
    def act(scene: Scene) -> None:
        scene.next_message = lambda number: make(scene, number)

    return act


def feed_good(scene: Scene) -> None:
    scene.next_message = scene.good


def refuse_credentials(scene: Scene) -> None:
    scene.sandbox.fault("rotate_secret", secret="another")
    scene.sandbox.fault("revoke_tokens")


def accept_credentials(scene: Scene) -> None:
    scene.sandbox.fault("rotate_secret", secret=scene.sandbox.info.client_secret)


def jobs_of_both_tenants(scene: Scene) -> None:
    """Make each fourth job the second tenant's."""
    scene.next_message = lambda number: {**scene.good(), **({} if number % 4 else {"tenant": CLINIC[0]})}


def refuse_one_tenant(scene: Scene) -> None:
    scene.sandbox.fault("rotate_secret", secret="another", tenant=CLINIC[0])
    scene.sandbox.fault("revoke_tokens")


def accept_one_tenant(scene: Scene) -> None:
    scene.sandbox.fault("rotate_secret", secret=CLINIC[2], tenant=CLINIC[0])


def break_some_streams(scene: Scene, number: int) -> Any:
    if number % 2:
        scene.sandbox.fault("drop_socket", after_seconds=0.3, count=1)
    return scene.good()


def every_second(audio: str) -> Callable[[Scene, int], Any]:
    return lambda scene, number: scene.job(scene.clips[audio if number % 2 else "short"], pace=4)


def cut(scene: Scene) -> None:
    if scene.line is not None:
        scene.line.cut()
    else:
        scene.redis.stop()


def mend(scene: Scene) -> None:
    if scene.line is not None:
        scene.line.mend()
    else:
        scene.redis.start()


def line_of(scene: Scene) -> Relay:
    assert scene.line is not None
    return scene.line


def empty_redis(scene: Scene) -> None:
    with scene.redis.cli_client() as client:
        client.flushall()


def kill(scene: Scene) -> None:
    scene.put(*(scene.job(scene.clips["long"], pace=4) for _ in range(4)))
    scene.wait_for_streams(4)
    # The worker that was started first is the observer, and runs some of these jobs.
    scene.workers[0].kill()


def kill_all(scene: Scene) -> None:
    for worker in scene.workers:
        worker.kill()


def with_a_door(scene: Scene) -> None:
    scene.start_door().ready()


def only_the_door_is_left(scene: Scene) -> None:
    for worker in scene.workers[:2]:
        worker.kill()


def replace(scene: Scene) -> None:
    scene.start_worker().ready()


def replace_both(scene: Scene) -> None:
    replace(scene)
    replace(scene)


def stop_in_mid_stream(scene: Scene) -> None:
    scene.put(*(scene.job(scene.clips["long"], pace=4) for _ in range(4)))
    scene.wait_for_streams(4)
    scene.start_worker().ready()
    assert scene.workers[0].terminate() == 0


def kill_whoever_takes_it(scene: Scene) -> None:
    """Put a job, and kill each worker that runs it, until the job becomes a dead letter."""
    scene.put(scene.job(scene.clips["long"], job_id="poison"))
    for _ in range(2):
        victim = claimant(scene, "poison")
        scene.start_worker().ready()
        victim.kill()
    scene.shown(
        lambda page: any('queue="corti.dead"' in one and value > 0 for one, value in page.items()), 120
    )


def claimant(scene: Scene, job_id: str) -> WorkerProcess:
    """The living worker that has claimed a job."""
    found: list[WorkerProcess] = []

    def claimed(worker: WorkerProcess) -> bool:
        lines = (line for line in worker.text().splitlines() if job_id in line)
        return worker.process.poll() is None and any('"code":"claimed"' in line for line in lines)

    def look() -> bool:
        found[:] = filter(claimed, scene.workers)
        return bool(found)

    scene.until(look, 120)
    return found[0]


def starve(scene: Scene) -> None:
    """Let a worker that streams all the time have half a core only."""
    scene.put(*(scene.job(scene.clips["long"]) for _ in range(4)))
    scene.wait_for_streams(4)
    scene.pulse(0, stopped=0.3, running=0.3)


def freeze_beyond_the_lease(scene: Scene) -> None:
    scene.put(*(scene.job(scene.clips["long"], pace=4) for _ in range(4)))
    scene.wait_for_streams(4)
    scene.workers[0].process.send_signal(signal.SIGSTOP)
    time.sleep(14)
    scene.workers[0].process.send_signal(signal.SIGCONT)


def refuse_replies(scene: Scene) -> None:
    if scene.broker == "redis":
        with scene.redis.cli_client() as client:
            client.set("corti.results.refused", "no list")
    else:
        with kombu.Connection(scene.producers_url) as connection:
            full = {"x-max-length": 0, "x-overflow": "reject-publish"}
            kombu.Queue("corti.results.refused", durable=True, queue_arguments=full)(connection).declare()
    scene.next_message = lambda number: {
        **scene.good(),
        **({} if number % 4 else {"reply_to": "corti.results.refused"}),
    }


def take_replies(scene: Scene) -> None:
    scene.next_message = scene.good
    if scene.broker == "redis":
        with scene.redis.cli_client() as client:
            client.delete("corti.results.refused")
    else:
        with kombu.Connection(scene.producers_url) as connection:
            connection.default_channel.queue_delete("corti.results.refused")


def pile_up(scene: Scene) -> None:
    """Let the API fail while a hundred jobs come, until they start later than the objective allows."""
    scene.sandbox.fault("api_error", status=503)
    scene.put(*(scene.good() for _ in range(100)))


def more_than_slots(scene: Scene) -> None:
    """Put so many jobs that two slots need more than a minute for them."""
    scene.put(*(scene.job(scene.clips["long"], pace=5) for _ in range(45)))


def stop_reading(scene: Scene) -> None:
    scene.reading = False


def read_on(scene: Scene) -> None:
    scene.reading = True


def full_disk(scene: Scene) -> None:
    scene.start_worker(audit="/dev/full").ready()


def end_the_last(scene: Scene) -> None:
    scene.workers[-1].terminate()


def other_keys(scene: Scene) -> None:
    scene.start_worker(encryption_keys=Fernet.generate_key().decode()).ready()


def cut_off_one(scene: Scene) -> None:
    relay = scene.stack.enter_context(Relay(scene.redis.port, scene.redis.url))
    scene.start_worker(broker_url=relay.url, redis_url=relay.url).ready()
    relay.cut()


def with_an_urgent_lane(scene: Scene) -> None:
    scene.start_worker(lane="urgent").ready()
    # A killed worker counts as the lane's observer until its last report is too old: wait for the new one.
    scene.shown(lambda page: any("corti.jobs.urgent" in series for series in page), 30)
