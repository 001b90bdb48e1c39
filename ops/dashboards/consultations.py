"""The view of the service: are consultations documented, how late, what fails, at what cost."""

from ops.dashboards.board import Board, Panel, metric, over_range, per_minute, per_second, quantiles

_FAILED = 'outcome="failed"'
_ACCEPTED = 'outcome="accepted"'
_FIRING = 'alertstate="firing", alertname=~"Corti.*"'
_SET_ASIDE = 'reason="set_aside"'

CONSULTATIONS = Board(
    "consultations",
    "Corti worker: Consultations",
    "Are consultations being documented, how late, what goes wrong, at what cost.",
    {
        "Are we documenting": [
            Panel(
                "Completed",
                "Jobs that ended in a transcript. None in working hours: look at the alerts, then at Queues.",
                {"completed": over_range("corti_jobs_finished_total", 'outcome="completed"')},
                single=True,
                width=6,
            ),
            Panel(
                "Failed",
                "Jobs that ended without one. Their dead letters hold them; 'Failed jobs by reason' says "
                "why.",
                {"failed": over_range("corti_jobs_finished_total", _FAILED)},
                single=True,
                width=6,
            ),
            Panel(
                "Ended in a transcript, last hour",
                "Objective: 99.9 %, without jobs that were wrong in themselves. Less: runbook, "
                "CortiJobsFailing.",
                {"documented": f"1 - {metric('corti:jobs_undocumented:ratio_rate1h')}"},
                unit="percentunit",
                single=True,
                width=6,
            ),
            Panel(
                "Started within 60 s, last hour",
                "Objective: 99 %. Less: more workers; runbook, CortiJobsStartLate.",
                {"in time": f"1 - {metric('corti:job_starts_late:ratio_rate1h')}"},
                unit="percentunit",
                single=True,
                width=6,
            ),
            Panel(
                "Alerts that fire",
                "critical: consultations are not being documented, or soon will not be. Each alert has its "
                "heading in ops/runbook.md: meaning, impact, checks, cure.",
                {
                    "{{severity}} {{alertname}}": "count by (severity, alertname) "
                    f"({metric('ALERTS', _FIRING)})"
                },
                bars=True,
            ),
            Panel(
                "Jobs ended a minute",
                "The pulse of the installation. It should follow the clinics' day; flat at zero while "
                "jobs wait in Queues means that nothing is documented.",
                {"{{outcome}}": per_minute("corti_jobs_finished_total", "outcome")},
            ),
            Panel(
                "Accepted and ended, a minute",
                "Jobs taken in (each once) against jobs ended. Accepted above ended for long: a backlog "
                "grows; look at slots in Fleet.",
                {
                    "accepted": f"{per_minute('corti_door_messages_total', where=_ACCEPTED)} "
                    f"- {per_minute('corti_jobs_handed_back_total', where=_SET_ASIDE)} "
                    f"- {per_minute('corti_jobs_repeated_total')}",
                    "ended": per_minute("corti_jobs_finished_total"),
                },
            ),
            Panel(
                "Jobs ended by tenant, a minute",
                "A tenant that falls silent in working hours while others go on: its producer, or its "
                "credentials; runbook, CortiTenantNoToken. unknown: a producer names a tenant that "
                "workers do not have.",
                {"{{tenant}} {{outcome}}": per_minute("corti_tenant_jobs_finished_total", "tenant, outcome")},
                width=12,
            ),
            Panel(
                "Burn of the error budgets",
                "How many times faster than allowed the month's budget is used up. 1 is the limit in the "
                "long run; above 14.4 for an hour somebody is woken.",
                {
                    "transcripts (99.9 %)": f"{metric('corti:jobs_undocumented:ratio_rate1h')} / 0.001",
                    "starts (99 %)": f"{metric('corti:job_starts_late:ratio_rate1h')} / 0.01",
                },
                width=12,
            ),
        ],
        "How late": [
            Panel(
                "Waiting time",
                "From the door's acceptance to the first start. p99 above 60 s breaks the objective: more "
                "workers, or a lane for what is urgent.",
                quantiles("corti_job_wait_seconds", 0.5, 0.95, 0.99),
                unit="s",
                width=6,
            ),
            Panel(
                "Time to first segment",
                "From an open stream to its first words; below 1 s is not told apart. High for all: the "
                "service is slow. High with late pacing in Fleet: workers have too little CPU.",
                quantiles("corti_first_segment_seconds", 0.5, 0.95),
                unit="s",
                width=6,
            ),
            Panel(
                "Overhead of jobs",
                "What a completed job took beyond its audio: set-up, end, retries, outages. Minutes mean "
                "that jobs hold slots while they wait for the service.",
                quantiles("corti_job_overhead_seconds", 0.5, 0.95),
                unit="s",
                width=6,
            ),
            Panel(
                "Length of jobs and of their audio",
                "Means. Duration well above audio (at pace 1): see Overhead. Both rising: longer "
                "consultations, so more slots are needed for as many jobs.",
                {
                    "duration": f"{per_second('corti_job_duration_seconds_sum')} "
                    f"/ {per_second('corti_job_duration_seconds_count')}",
                    "audio": f"{per_second('corti_job_audio_seconds_sum')} "
                    f"/ {per_second('corti_job_audio_seconds_count')}",
                },
                unit="s",
                width=6,
            ),
        ],
        "What goes wrong": [
            Panel(
                "Failed jobs by reason, a minute",
                "Each reason has its cure in the runbook under CortiJobsFailing; audio_* and "
                "duplicate_encounter are for the producer to mend.",
                {"{{reason}}": f"{per_minute('corti_jobs_finished_total', 'reason', _FAILED)} > 0"},
                bars=True,
            ),
            Panel(
                "Attempts tried again by reason, a minute",
                "They cost time, not consultations, as long as jobs end well. upstream_unavailable: the "
                "service; stream_interrupted: the network; rate_limited: the tenant's limit.",
                {"{{reason}}": f"{per_minute('corti_jobs_retried_total', 'reason')} > 0"},
                bars=True,
            ),
            Panel(
                "Streams by how they ended, a minute",
                "Anything but 'ended' above a tenth: runbook, CortiStreamsBreaking.",
                {"{{reason}}": f"{per_minute('corti_streams_ended_total', 'reason')} > 0"},
                bars=True,
            ),
        ],
        "What it costs and gives": [
            Panel(
                "Credits an hour",
                "What the service charges for completed streams. A jump without more audio: ask Corti; "
                "with more retries: audio is streamed twice.",
                {"credits": f"3600 * {per_second('corti_credits_total')}"},
            ),
            Panel(
                "Audio streamed against audio completed",
                "Seconds of audio a second: how many consultations run at pace 1. Completed comes at the "
                "end of a job. Streamed above it for hours: audio is paid for twice.",
                {
                    "streamed": per_second("corti_audio_streamed_seconds_total"),
                    "completed": per_second("corti_job_audio_seconds_sum"),
                },
            ),
            Panel(
                "Segments and facts a minute",
                "What doctors get. Audio without segments is silence or a wrong language; segments "
                "without facts are transcripts by choice, or a fault of the service.",
                {
                    "segments": per_minute("corti_transcript_segments_total"),
                    "facts": per_minute("corti_facts_total"),
                },
            ),
        ],
    },
)
