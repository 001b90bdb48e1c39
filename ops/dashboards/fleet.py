"""The dashboard "Fleet": slots, lateness, resources and tokens of the workers, and the service's answers."""

from ops.dashboards.board import HERE, Board, Panel, metric, per_minute, per_second, quantiles

_EACH = "pod, instance"
_NAME = "{{pod}} {{instance}}"
#: Selects workers and doors, because every program with Prometheus' client library exports `process_...`.
_OURS = f"and on (pod, instance) corti_worker_build_info{{{HERE}}}"

FLEET = Board(
    "fleet",
    "Corti worker: Fleet",
    "Workers: slots, lateness, resources, tokens, and the answers of the service.",
    {
        "Capacity": [
            Panel(
                "Processes by version",
                "Two versions for longer than a rollout usually takes: the rollout is stuck. Fewer processes "
                "than configured: look at restarts.",
                {"{{version}}": f"count by (version) ({metric('corti_worker_build_info')})"},
            ),
            Panel(
                "Slots",
                "As many running jobs as slots: the next jobs wait; add workers. Fewer streams than running "
                "jobs: jobs are connecting, or wait for the service.",
                {
                    "slots": f"sum({metric('corti_slots')})",
                    "jobs running": f"sum({metric('corti_jobs_running')})",
                    "streams open": f"sum({metric('corti_streams_open')})",
                },
            ),
            Panel(
                "Jobs running by process",
                "The numbers should be similar. If one process is at zero, its /readyz says why.",
                {_NAME: f"sum by ({_EACH}) ({metric('corti_jobs_running')})"},
            ),
            Panel(
                "Jobs running by tenant",
                "Which tenants' jobs occupy the slots. If one tenant has nearly all and others wait, give it "
                "a cap (max-streams), or add slots.",
                {"{{tenant}}": f"sum by (tenant) ({metric('corti_tenant_jobs_running')})"},
                width=6,
            ),
            Panel(
                "Processes with failing checks",
                "The number of processes that fail each check of /readyz. All: the dependency is "
                "unreachable. One: replace the process. 'drain': the process was told to stop.",
                {
                    "{{check}}": f"count by (check) ({metric('corti_check_ok')} == 0)",
                    "draining": f"sum({metric('corti_draining')}) > 0",
                },
                bars=True,
                width=6,
            ),
            Panel(
                "CPU by process",
                "In cores. A process uses at most one core. Near 1, audio becomes late: use more processes "
                "with fewer slots.",
                {_NAME: f"{per_second('process_cpu_seconds_total', _EACH)} {_OURS}"},
                width=6,
            ),
            Panel(
                "Memory by process",
                "It rises and falls with the number of running jobs. If it only rises, report a leak.",
                {_NAME: f"sum by ({_EACH}) ({metric('process_resident_memory_bytes')}) {_OURS}"},
                unit="bytes",
                width=6,
            ),
        ],
        "Streams": [
            Panel(
                "Lateness of audio, p99 by process",
                "How late chunks are sent. Above 0.1 s: look at 'CPU by process'; runbook, CortiPacingLate.",
                quantiles("corti_pacing_lateness_seconds", 0.99, by="pod"),
                unit="s",
            ),
            Panel(
                "Audio sent",
                "Bytes per second to the service. If it falls while as many jobs run, check the network.",
                {"sent": per_second("corti_audio_streamed_bytes_total")},
                unit="Bps",
            ),
            Panel(
                "Time to open a stream",
                "TCP, TLS and the upgrade to WebSocket. Several seconds: the network or the service is slow. "
                "As long as the time-out: a firewall drops packets.",
                quantiles("corti_stream_open_seconds", 0.5, 0.95),
                unit="s",
            ),
        ],
        "Service and tokens": [
            Panel(
                "REST requests by status, per minute",
                "5xx and error: the service or the network. 4xx: wrong requests; see why jobs failed.",
                {
                    "{{operation}} {{status}}": per_minute(
                        "corti_rest_request_seconds_count",
                        "operation, status",
                    )
                },
                width=12,
            ),
            Panel(
                "Duration of REST requests, p95",
                "Several seconds: the service is slow, and jobs start later by this time.",
                quantiles("corti_rest_request_seconds", 0.95, by="operation"),
                unit="s",
                width=12,
            ),
            Panel(
                "Token requests by outcome, per minute",
                "Normal: about one request in the lifetime of a token, for all processes together. One from "
                "each process: the shared cache does not work. auth_rejected: credentials; runbook, "
                "CortiNoToken.",
                {"{{outcome}}": f"{per_minute('corti_token_fetches_total', 'outcome')} > 0"},
                bars=True,
            ),
            Panel(
                "Tokens by source, per minute",
                "Normal: nearly all tokens come from the process's own memory. Many from redis: processes "
                "restart often, or the service refuses tokens.",
                {"{{layer}}": per_minute("corti_token_hits_total", "layer")},
            ),
            Panel(
                "Age of the oldest token",
                "It must fall before the lifetime of a token (300 s at Corti) ends. If it does not: see "
                "'Token requests by outcome', and runbook, CortiNoToken.",
                {"oldest in use": f"max({metric('corti_token_age_seconds')})"},
                unit="s",
            ),
            Panel(
                "Refused tokens and cache errors, per minute",
                "Refused: the token was revoked, or clocks differ. Cache errors: Redis, or processes with "
                "different encryption keys; runbook, CortiTokenCacheErrors.",
                {
                    "refused": per_minute("corti_token_refusals_total"),
                    "cache errors": per_minute("corti_token_cache_errors_total"),
                },
            ),
            Panel(
                "Tenants without a token",
                "The number of processes whose last request for the tenant's token failed. Usually the "
                "tenant's credentials are wrong; runbook, CortiTenantNoToken.",
                {"{{tenant}}": f"count by (tenant) ({metric('corti_tenant_tokens_ok')} == 0)"},
                bars=True,
            ),
            Panel(
                "Waiting for a token, p95",
                "How long jobs waited for a token, and how long token requests took. Waits far longer than "
                "requests: only one process fetches the token at a time, and it is stuck.",
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
                "Claims by outcome, per minute",
                "taken_over: a worker stopped without a drain. busy: a running job was delivered a second "
                "time, which is harmless. finished: an ended job was put on the queue again.",
                {"{{outcome}}": f"{per_minute('corti_claims_total', 'outcome')} > 0"},
                bars=True,
            ),
            Panel(
                "Failed renewals, per minute",
                "Renewals of claims and, with Redis as the broker, of deliveries' leases. A single 'lost': a "
                "job ended during the renewal. Errors, or many: runbook, CortiClaimsAtRisk.",
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
                "Audit records, per minute",
                "Any lost record: the audit trail has a gap; runbook, CortiAuditLost.",
                {"{{outcome}}": per_minute("corti_audit_records_total", "outcome")},
            ),
        ],
    },
)
