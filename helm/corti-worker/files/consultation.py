"""What `helm test` runs, in the worker's image: puts one job on the demo's queue and waits for its result.

The audio is generated noise with pauses as in speech. The sandbox answers it with a scripted dialogue.
"""

import base64
import io
import json
import os
import random
import sys
import time
import uuid
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import kombu
import redis

_RATE = 16_000
_FINAL = ("corti.job.completed.v1", "corti.job.failed.v1")


def audio(seconds: int) -> bytes:
    """Return a WAV file (mono, 16 bit, 16 kHz): in each second 0.7 s of noise and 0.3 s of silence."""
    noise = random.Random(4711)  # noqa: S311  # sound, not a secret
    burst = b"".join(
        noise.randint(-9000, 9000).to_bytes(2, "little", signed=True) for _ in range(_RATE * 7 // 10)
    )
    file = io.BytesIO()
    with wave.open(file, "wb") as wav:
        wav.setnchannels(1)
        wav.setsampwidth(2)
        wav.setframerate(_RATE)
        wav.writeframes((burst + bytes(_RATE * 2 * 3 // 10)) * seconds)
    return file.getvalue()


def exchange(url: str, body: bytes, reply_to: str, deadline: float) -> Callable[[], bytes | str | None]:
    """Put a job on `corti.jobs`.

    Args:
        url: The broker's URL, of Redis or RabbitMQ.
        body: The job as JSON.
        reply_to: The queue to which the worker publishes the job's events.
        deadline: The end of the test, in seconds of `time.monotonic`.

    Returns:
        A function that takes the next event's JSON from `reply_to`. It waits for at most a second and
        returns None when no event has come.
    """
    if url.startswith("redis"):
        broker = redis.Redis.from_url(url)
        broker.lpush("corti.jobs", body)

        def pop() -> bytes | None:
            item: Any = broker.brpop([reply_to], 1)
            return bytes(item[1]) if item else None

        return pop
    connection = kombu.Connection(url, transport_options={"confirm_publish": True})
    # The queue must exist before the first event. The worker declares it with the same arguments.
    queue = kombu.Queue(reply_to, durable=True, queue_arguments={"x-queue-type": "quorum"})(
        connection.channel()
    )
    queue.declare()
    connection.Producer().publish(
        body,
        routing_key="corti.jobs",
        content_type="application/json",
        content_encoding="utf-8",
        mandatory=True,
    )

    def get() -> Any:
        message = queue.get(no_ack=True)
        if message is None and time.monotonic() < deadline:
            time.sleep(0.2)
        return None if message is None else message.body

    return get


def main() -> int:
    """Return 0 when the job completed, and 1 when it failed or no result came within `TIMEOUT_SECONDS`."""
    url = os.environ.get("CORTI_WORKER_BROKER_URL") or (
        Path(os.environ["CORTI_WORKER_BROKER_URL_FILE"]).read_text().strip()
    )
    name = f"helm-test-{uuid.uuid4()}"
    reply_to = f"corti.results.{name}"
    job = {
        "job_id": name,
        "audio": {"data": base64.b64encode(audio(6)).decode()},
        "transcription": {"language": "en"},
        "reply_to": reply_to,
    }
    deadline = time.monotonic() + float(os.environ.get("TIMEOUT_SECONDS", "120"))
    take = exchange(url, json.dumps(job).encode(), reply_to, deadline)
    while time.monotonic() < deadline:
        body = take()
        event = json.loads(body) if body else {"type": None}
        if event["type"] in _FINAL:
            print(json.dumps(event["data"], indent=2))
            return 0 if event["type"] == _FINAL[0] else 1
    print("no result in time; look at the worker's log", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
