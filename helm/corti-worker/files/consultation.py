"""Puts one job on the demo's queue and waits for its result: what `helm test` runs, with the worker's image.

The audio is noise in the rhythm of speech, made here; the sandbox answers it from its script.
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
    """A WAV file: in each second 0.7 s of noise and 0.3 s of quiet."""
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
    """Put the job on the queue; gives a function that takes the next event, or None for none yet."""
    if url.startswith("redis"):
        broker = redis.Redis.from_url(url)
        broker.lpush("corti.jobs", body)

        def pop() -> bytes | None:
            item: Any = broker.brpop([reply_to], 1)
            return bytes(item[1]) if item else None

        return pop
    connection = kombu.Connection(url, transport_options={"confirm_publish": True})
    # Results may come before anybody has declared their queue: the worker declares it as well, just so.
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
    """Return 0 when the consultation's result came and is complete."""
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
