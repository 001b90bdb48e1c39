"""The view of the workers: slots, lateness, resources, tokens, the service as they meet it."""

from ops.dashboards.board import HERE, Board, Panel, metric, per_minute, per_second, quantiles

_EACH = "pod, instance"
_NAME = "{{pod}} {{instance}}"
#: The client library's metrics are called alike in every program; only those of workers are meant.
_OURS = f"and on (pod, instance) corti_worker_build_info{{{HERE}}}"

FLEET = Board(
    "fleet",
    "Corti worker: Fleet",
    "Workers: slots, lateness, resources, tokens, and the service as they meet it.",
    {
        "Capacity": [
            Panel(
                "Processes by version",
                "Two versions for longer than a deployment: it is stuck. Fewer than wanted: look at "
                "restarts.",
                {"{{version}}": f"count by (version) ({metric('corti_worker_build_info')})"},
            ),
            Panel(
                "Slots",
                "Jobs running at the height of slots: the next ones wait; add workers. Streams below "
                "jobs: jobs are connecting, or waiting for the service.",
                {
                    "slots": f"sum({metric('corti_slots')})",
                    "jobs running": f"sum({metric('corti_jobs_running')})",
                    "streams open": f"sum({metric('corti_streams_open')})",
                },
            ),
            Panel(
                "Jobs running by process",
                "They should be alike. One at zero: its /readyz says why.",
                {_NAME: f"sum by ({_EACH}) ({metric('corti_jobs_running')})"},
            ),
            Panel(
                "Jobs running by tenant",
                "Who holds the slots. One tenant holds nearly all and others wait: give it a cap "
                "(max-streams), or more slots to all.",
                {"{{tenant}}": f"sum by (tenant) ({metric('corti_tenant_jobs_running')})"},
                width=6,
            ),
            Panel(
                "Processes that are not well",
                "How many fail each check of /readyz. All of them: the dependency is away. One: replace "
                "it. 'drain' is a process that was told to stop.",
                {
                    "{{check}}": f"count by (check) ({metric('corti_check_ok')} == 0)",
                    "draining": f"sum({metric('corti_draining')}) > 0",
                },
                bars=True,
                width=6,
            ),
            Panel(
                "CPU by process",
                "In cores. One process uses one core at most: near 1 it is full, and lateness follows. "
                "Fewer slots each, more processes.",
                {_NAME: f"{per_second('process_cpu_seconds_total', _EACH)} {_OURS}"},
                width=6,
            ),
            Panel(
                "Memory by process",
                "Grows with jobs that run, and falls again. If it only rises: a leak, report it.",
                {_NAME: f"sum by ({_EACH}) ({metric('process_resident_memory_bytes')}) {_OURS}"},
                unit="bytes",
                width=6,
            ),
        ],
        "Streams": [
            Panel(
                "Lateness of audio, p99 by process",
                "How late chunks are sent. Above 0.1 s: too little CPU, see there; runbook, CortiPacingLate.",
                quantiles("corti_pacing_lateness_seconds", 0.99, by="pod"),
                unit="s",
            ),
            Panel(
                "Audio sent",
                "Bytes a second to the service. Falls with jobs; without them falling, the network is short.",
                {"sent": per_second("corti_audio_streamed_bytes_total")},
                unit="Bps",
            ),
            Panel(
                "Setting up a stream",
                "TCP, TLS and upgrade. Seconds: network or service; at the time-out: a firewall swallows "
                "packets.",
                quantiles("corti_stream_open_seconds", 0.5, 0.95),
                unit="s",
            ),
        ],
        "Service and tokens": [
            Panel(
                "REST requests by status, a minute",
                "5xx and error: the service or the network. 4xx: what we ask is wrong; failed jobs say what.",
                {
                    "{{operation}} {{status}}": per_minute(
                        "corti_rest_request_seconds_count",
                        "operation, status",
                    )
                },
                width=12,
            ),
            Panel(
                "REST requests, p95",
                "Seconds: the service is slow; jobs start later by as much.",
                quantiles("corti_rest_request_seconds", 0.95, by="operation"),
                unit="s",
                width=12,
            ),
            Panel(
                "Token requests by outcome, a minute",
                "About one for each lifetime of a token and fleet. As many as processes: the cache does "
                "not work. auth_rejected: credentials; runbook, CortiNoToken.",
                {"{{outcome}}": f"{per_minute('corti_token_fetches_total', 'outcome')} > 0"},
                bars=True,
            ),
            Panel(
                "Tokens by where they came from, a minute",
                "Nearly all from the process. Many from redis: short-lived processes, or tokens that are "
                "refused.",
                {"{{layer}}": per_minute("corti_token_hits_total", "layer")},
            ),
            Panel(
                "Age of the oldest token",
                "Must fall before a token's life (300 s at Corti) is over. If it does not: see requests, and "
                "runbook, CortiNoToken.",
                {"oldest in use": f"max({metric('corti_token_age_seconds')})"},
                unit="s",
            ),
            Panel(
                "Trouble with tokens, a minute",
                "Refused: revoked, or clocks differ. Cache errors: Redis, or processes with different keys; "
                "runbook, CortiTokenCacheErrors.",
                {
                    "refused": per_minute("corti_token_refusals_total"),
                    "cache errors": per_minute("corti_token_cache_errors_total"),
                },
            ),
            Panel(
                "Tenants without a token",
                "Processes that asked for a tenant's token in vain and have had none since: its credentials, "
                "most often; runbook, CortiTenantNoToken.",
                {"{{tenant}}": f"count by (tenant) ({metric('corti_tenant_tokens_ok')} == 0)"},
                bars=True,
            ),
            Panel(
                "Waiting for a token, p95",
                "How long jobs waited, and how long requests took. Waits well above requests: one "
                "refresher at a time, and it is stuck.",
                {
                    legend.replace("p95", what): expression
                    for what, name in (
                        ("jobs waited", "corti_token_wait_seconds"),
                        ("requests took", "corti_token_fetch_seconds"),
                    )
                    for legend, expression in quantiles(name, 0.95).items()
                },
                unit="s",
            ),
        ],
        "Claims and audit": [
            Panel(
                "Claims by what was found, a minute",
                "taken_over: a worker died. busy: the same job was delivered twice, which is harmless. "
                "finished: it was put on the queue again.",
                {"{{outcome}}": f"{per_minute('corti_claims_total', 'outcome')} > 0"},
                bars=True,
            ),
            Panel(
                "Renewals that failed, a minute",
                "Claims in Redis, and on Redis the broker's leases. A single 'lost' is a job that ended just "
                "then; errors, or many: runbook, CortiClaimsAtRisk.",
                {
                    "claim {{outcome}}": per_minute(
                        "corti_claim_renewals_total", "outcome", 'outcome!="renewed"'
                    ),
                    "lease {{outcome}}": per_minute(
                        "corti_redis_lease_renewals_total", "outcome", 'outcome!="renewed"'
                    ),
                },
            ),
            Panel(
                "Audit records a minute",
                "Any lost: the trail has a gap; runbook, CortiAuditLost.",
                {"{{outcome}}": per_minute("corti_audit_records_total", "outcome")},
            ),
        ],
    },
)
