"""The dashboard "Queues": what waits in each queue, what passes through, and what was given up."""

from ops.dashboards.board import Board, Panel, metric, per_minute

_DEPTH = "corti:queue_depth:max"
_WAITING = 'queue=~"corti[.]work.*", state="waiting"'
_RUNNING = 'queue=~"corti[.]work.*", state="running"'

QUEUES = Board(
    "queues",
    "Corti worker: Queues",
    "What waits in each queue, what passes through, and what was given up. One process reports all depths.",
    {
        "What waits?": [
            Panel(
                "Waiting jobs",
                "corti.jobs rises: check the door. corti.work rises: too few slots, or workers do not take "
                "jobs; see Fleet. aside: jobs that run already, or whose tenant has reached its cap.",
                {"{{queue}}": metric(_DEPTH, 'state="waiting", queue!~"corti[.](results|dead)"')},
            ),
            Panel(
                "Load and slots",
                "If waiting and running jobs together exceed the slots, add workers: the difference divided "
                "by the slots of a worker.",
                {
                    "waiting": f"sum({metric(_DEPTH, _WAITING)})",
                    "running": f"sum({metric(_DEPTH, _RUNNING)})",
                    "slots": f"sum({metric('corti_slots')})",
                },
            ),
            Panel(
                "Waiting results and dead letters",
                "Results rise: the EHR's consumer is slow or has stopped. Dead letters: somebody has to "
                "decide about them; runbook, CortiDeadLetters.",
                {"{{queue}}": metric(_DEPTH, 'queue=~"corti[.](results|dead)"')},
            ),
        ],
        "What passes through?": [
            Panel(
                "Messages at the door, per minute",
                "refused: a producer sends invalid messages; their dead letters name the invalid fields.",
                {"{{outcome}}": per_minute("corti_door_messages_total", "outcome")},
            ),
            Panel(
                "Deliveries taken, handed back and repeated, per minute",
                "drain: workers were stopped, for example by a rollout. set_aside: the job runs already, or "
                "its tenant has reached its cap. repeat: the job had ended. claim_lost: check Redis. "
                "unconfirmed: the broker did not confirm a result in time.",
                {
                    "taken": per_minute("corti_jobs_received_total"),
                    "{{reason}}": f"{per_minute('corti_jobs_handed_back_total', 'reason')} > 0",
                    "repeat {{outcome}}": f"{per_minute('corti_jobs_repeated_total', 'outcome')} > 0",
                },
            ),
            Panel(
                "Jobs at a tenant's cap, per minute",
                "How often a job found its tenant's cap (max-streams) reached; a waiting job checks once a "
                "second. For long: have the limit raised at Corti, then raise the cap.",
                {"{{tenant}}": f"{per_minute('corti_admissions_refused_total', 'tenant')} > 0"},
            ),
        ],
        "What leaves?": [
            Panel(
                "Events published by type, per minute",
                "completed and failed are results. All other events are live events or the start of a job.",
                {"{{type}}": per_minute("corti_events_published_total", "type")},
            ),
            Panel(
                "Unconfirmed results",
                "Results in Redis that the broker has not confirmed yet. More than a few: it refuses them.",
                {"results": f"max({metric('corti_outbox_results')})"},
            ),
            Panel(
                "Age of the oldest unconfirmed result",
                "How long the oldest result has waited to be published. Seconds are normal. Minutes: "
                "runbook, CortiResultsStuck.",
                {"age": f"max({metric('corti_outbox_age_seconds')})"},
                unit="s",
            ),
            Panel(
                "Repeated publishing, per minute",
                "tried again: the broker restarts, or a queue is full. swept: results of workers that "
                "stopped before they could publish them; nothing to do.",
                {
                    "tried again": per_minute("corti_publish_retries_total"),
                    "swept": per_minute("corti_results_swept_total"),
                },
            ),
            Panel(
                "Dead letters by reason, per minute",
                "invalid_job: a producer's fault. Other reasons: failed jobs; runbook, CortiJobsFailing.",
                {"{{reason}}": f"{per_minute('corti_dead_letters_total', 'reason')} > 0"},
                bars=True,
                width=16,
            ),
        ],
    },
)
