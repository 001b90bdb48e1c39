"""The dashboard "Consultations": whether consultations are documented, how late, what fails, and the cost."""

from ops.dashboards.board import Board, Panel, metric, over_range, per_minute, per_second, quantiles

_FAILED = 'outcome="failed"'
_ACCEPTED = 'outcome="accepted"'
_FIRING = 'alertstate="firing", alertname=~"Corti.*"'
_SET_ASIDE = 'reason="set_aside"'

CONSULTATIONS = Board(
    "consultations",
    "Corti worker: Consultations",
    "Are consultations documented, how late, what fails, and what does it cost?",
    {
        "Are consultations documented?": [
            Panel(
                "Completed",
                "Jobs that ended in a transcript. None in working hours: look at the alerts, then at Queues.",
                {"completed": over_range("corti_jobs_finished_total", 'outcome="completed"')},
                single=True,
                width=6,
            ),
            Panel(
                "Failed",
                "Jobs that ended without a transcript. Their dead letters contain them. See the panel "
                "'Failed jobs by reason'.",
                {"failed": over_range("corti_jobs_finished_total", _FAILED)},
                single=True,
                width=6,
            ),
            Panel(
                "Ended in a transcript, last hour",
                "Objective: 99.9 %; jobs that failed for a reason in the job itself do not count. Less: "
                "runbook, CortiJobsFailing.",
                {"documented": f"1 - {metric('corti:jobs_undocumented:ratio_rate1h')}"},
                unit="percentunit",
                single=True,
                width=6,
            ),
            Panel(
                "Started within 60 s, last hour",
                "Objective: 99 %. Less: add workers; runbook, CortiJobsStartLate.",
                {"in time": f"1 - {metric('corti:job_starts_late:ratio_rate1h')}"},
                unit="percentunit",
                single=True,
                width=6,
            ),
            Panel(
                "Alerts that fire",
                "critical: consultations are not being documented, or soon will not be. Each alert has a "
                "heading in ops/runbook.md: meaning, impact, checks, cure.",
                {
                    "{{severity}} {{alertname}}": "count by (severity, alertname) "
                    f"({metric('ALERTS', _FIRING)})"
                },
                bars=True,
            ),
            Panel(
                "Jobs ended, per minute",
                "The number should follow the clinics' working hours. If it stays at zero while Queues shows "
                "waiting jobs, nothing is documented.",
                {"{{outcome}}": per_minute("corti_jobs_finished_total", "outcome")},
            ),
            Panel(
                "Jobs accepted and ended, per minute",
                "Jobs taken in (each counts once) and jobs ended. Accepted above ended for long: a backlog "
                "grows; look at slots in Fleet.",
                {
                    "accepted": f"{per_minute('corti_door_messages_total', where=_ACCEPTED)} "
                    f"- {per_minute('corti_jobs_handed_back_total', where=_SET_ASIDE)} "
                    f"- {per_minute('corti_jobs_repeated_total')}",
                    "ended": per_minute("corti_jobs_finished_total"),
                },
            ),
            Panel(
                "Jobs ended by tenant, per minute",
                "If only one tenant has no jobs in working hours, check its producer and its "
                "credentials; runbook, CortiTenantNoToken. unknown: a producer names a tenant that "
                "workers do not have.",
                {"{{tenant}} {{outcome}}": per_minute("corti_tenant_jobs_finished_total", "tenant, outcome")},
                width=12,
            ),
            Panel(
                "Burn rate of the error budgets",
                "How many times faster than allowed the month's budget is used up. 1 is the limit over a "
                "month. Above 14.4 over an hour, a critical alert fires.",
                {
                    "transcripts (99.9 %)": f"{metric('corti:jobs_undocumented:ratio_rate1h')} / 0.001",
                    "starts (99 %)": f"{metric('corti:job_starts_late:ratio_rate1h')} / 0.01",
                },
                width=12,
            ),
        ],
        "How late?": [
            Panel(
                "Waiting time",
                "The time from a job's acceptance by the door to its first start. p99 above 60 s misses the "
                "objective: add workers, or use a separate lane for urgent jobs.",
                quantiles("corti_job_wait_seconds", 0.5, 0.95, 0.99),
                unit="s",
                width=6,
            ),
            Panel(
                "Time to first segment",
                "The time from a stream's start to its first segment; values below 1 s are not "
                "distinguished. High: the service is slow, or, if Fleet shows late audio, workers have too "
                "little CPU.",
                quantiles("corti_first_segment_seconds", 0.5, 0.95),
                unit="s",
                width=6,
            ),
            Panel(
                "Overhead of jobs",
                "How much longer completed jobs took than their audio: start, end, retries, outages. Minutes "
                "mean that jobs occupy slots while they wait for the service.",
                quantiles("corti_job_overhead_seconds", 0.5, 0.95),
                unit="s",
                width=6,
            ),
            Panel(
                "Length of jobs and of their audio",
                "Mean values. Duration well above audio (at pace 1): see 'Overhead of jobs'. Both rising: "
                "consultations are longer, so the same number of jobs needs more slots.",
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
        "What fails?": [
            Panel(
                "Failed jobs by reason, per minute",
                "The runbook has a cure for each reason under CortiJobsFailing. audio_* (except "
                "audio_unreachable) and duplicate_encounter are faults of the producer.",
                {"{{reason}}": f"{per_minute('corti_jobs_finished_total', 'reason', _FAILED)} > 0"},
                bars=True,
            ),
            Panel(
                "Failed attempts by reason, per minute",
                "The job is tried again, and is only late if a later attempt succeeds. upstream_unavailable: "
                "the service; stream_interrupted: the network; rate_limited: the tenant's limit.",
                {"{{reason}}": f"{per_minute('corti_jobs_retried_total', 'reason')} > 0"},
                bars=True,
            ),
            Panel(
                "Streams by end reason, per minute",
                "More than 10 % with a reason other than 'ended': runbook, CortiStreamsBreaking.",
                {"{{reason}}": f"{per_minute('corti_streams_ended_total', 'reason')} > 0"},
                bars=True,
            ),
        ],
        "Cost and output": [
            Panel(
                "Credits per hour",
                "What the service charges for completed streams. A sudden rise without more audio: ask "
                "Corti. With more retries: audio is streamed twice.",
                {"credits": f"3600 * {per_second('corti_credits_total')}"},
            ),
            Panel(
                "Audio streamed and audio of completed jobs",
                "Seconds of audio per second, which is the number of running consultations at pace 1. "
                "'completed' rises at the end of a job. Streamed above completed for hours: audio is paid "
                "for twice.",
                {
                    "streamed": per_second("corti_audio_streamed_seconds_total"),
                    "completed": per_second("corti_job_audio_seconds_sum"),
                },
            ),
            Panel(
                "Segments and facts, per minute",
                "The output for doctors. Audio without segments: silence, or a wrong language. Segments "
                "without facts: jobs that ask for no facts, or a fault of the service.",
                {
                    "segments": per_minute("corti_transcript_segments_total"),
                    "facts": per_minute("corti_facts_total"),
                },
            ),
        ],
    },
)
