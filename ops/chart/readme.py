"""The chart's README.md: prose from here, the table from values.yaml."""

import json
from collections.abc import Iterable

from ops.chart.values import Value

_HEAD = """\
<!-- Made by `python -m ops.chart update` from values.yaml and ops/chart/readme.py; do not edit. -->
# corti-worker

Consultation audio in, transcript and clinical facts out, from queue to queue. Needs Kubernetes 1.25 or newer, Helm 3,
a RabbitMQ or Redis that you run, and a Corti API client. Brings no other chart.

## Try it

```bash
helm install demo helm/corti-worker -f helm/corti-worker/values-demo.yaml
helm test demo --logs
```

brings a RabbitMQ, a Valkey and the sandbox beside the worker, and sends one consultation through them. For no patient
data: passwords are known, and nothing outlives a pod.

## Install it

```bash
kubectl create secret generic corti-client --from-literal=client-id=... --from-literal=client-secret=...
kubectl create secret generic corti-broker --from-literal=broker-url=amqps://user:password@rabbitmq.example:5671/corti
kubectl create secret generic corti-redis --from-literal=redis-url=rediss://:password@redis.example:6379/0
kubectl create secret generic corti-keys --from-literal=encryption-keys=$(openssl rand -base64 32 | tr '+/' '-_')
helm install corti helm/corti-worker --set corti.existingSecret=corti-client --set broker.existingSecret=corti-broker \\
  --set redis.existingSecret=corti-redis --set encryption.existingSecret=corti-keys
```

The chart holds no secret and makes none: each is a Secret of yours, mounted as a file
([from a vault](examples/external-secret.yaml)). Faults of the settings end a pod with code 78 and a log that names
them all.

## Scaling

`autoscaling.kind=keda` follows the jobs that wait **and run**, divided by `slots`. Counting only what waits, as queue
scalers do, takes workers away that are busy. Where the numbers come from:

| `autoscaling.keda.trigger` | asks | when it has no answer |
|---|---|---|
| `prometheus` | `corti_queue_depth`, exported by one worker for all | nothing is scaled |
| `broker` with RabbitMQ | management API, for `corti.jobs` and `corti.work` | nothing is scaled |
| `broker` with Redis | the two lists, and the hash of what is being worked on | nothing is scaled |

Replicas come at once and go slowly: one in ten minutes, after half an hour of less load. A worker that is taken away
takes no more jobs, and has `graceSeconds` to end those it runs; what cannot end by then goes back to the queue at
once and starts again elsewhere. Nothing is lost in either case; a restart costs the consultation's streaming time again.
Node drains and cluster autoscalers may grant less (`--max-graceful-termination-sec`): then the pod is killed, and other
workers take its jobs over within 45 s.

For consultations of hours, `mode=scaledJob` has no scale-down at all: KEDA starts Kubernetes Jobs for what waits, and
each ends by itself when it has been idle for `scaledJob.idleSeconds`. Set `slots` low with it (1 for a job of its own).

`podDeletionCost.enabled=true` makes a scale-down choose the worker with the fewest jobs.

## What it runs with

Numeric user, read-only root, no capabilities, the restricted Pod Security Standard; no token of a service account in the
worker; egress only to DNS, broker, Redis and Corti (narrow `networkPolicy.*.to` to your addresses). `/livez` asks no
dependency, so a broker that is away restarts nothing; `/readyz` says what is missing.

## Values

"""


def readme(values: Iterable[Value]) -> str:
    """The text of README.md."""
    rows = [f"| `{value.name}` | `{_cell(json.dumps(value.default))}` | {_cell(value.text)} |" for value in values]
    return "\n".join([_HEAD + "| value | default | meaning |", "|---|---|---|", *rows]) + "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")
