"""The view of the broker: what waits where, what passes, what was given up."""

from ops.dashboards.board import Board, Panel, metric, per_minute

_DEPTH = "corti:queue_depth:max"
_WAITING = 'queue=~"corti[.]work.*", state="waiting"'
_RUNNING = 'queue=~"corti[.]work.*", state="running"'

QUEUES = Board(
    "queues",
    "Corti worker: Queues",
    "What waits where, what passes through, what was given up. One process tells about the whole.",
    {
        "What waits": [
            Panel(
                "Jobs that wait",
                "corti.jobs rising: the door. corti.work rising: too few slots, or workers that do not "
                "take; see Fleet. aside: deliveries of jobs that run already.",
                {"{{queue}}": metric(_DEPTH, 'state="waiting", queue!~"corti[.](results|dead)"')},
            ),
            Panel(
                "Load against slots",
                "Waiting and running together above slots: add workers, by the difference over slots of "
                "each.",
                {
                    "waiting": f"sum({metric(_DEPTH, _WAITING)})",
                    "running": f"sum({metric(_DEPTH, _RUNNING)})",
                    "slots": f"sum({metric('corti_slots')})",
                },
            ),
            Panel(
                "Results and dead letters that wait",
                "Results rising: the EHR's consumer is slow or gone. Dead letters: somebody has to look "
                "at them; runbook, CortiDeadLetters.",
                {"{{queue}}": metric(_DEPTH, 'queue=~"corti[.](results|dead)"')},
            ),
        ],
        "What passes": [
            Panel(
                "Messages at the door, a minute",
                "refused: a producer sends what is no job; dead letters name the faulty fields.",
                {"{{outcome}}": per_minute("corti_door_messages_total", "outcome")},
            ),
            Panel(
                "Deliveries taken up, handed back and repeated, a minute",
                "drain: a deployment. set_aside, repeated: jobs delivered twice. claim_lost: Redis. "
                "unconfirmed: the broker did not confirm a result in time.",
                {
                    "taken up": per_minute("corti_jobs_received_total"),
                    "{{reason}}": f"{per_minute('corti_jobs_handed_back_total', 'reason')} > 0",
                    "repeat {{outcome}}": f"{per_minute('corti_jobs_repeated_total', 'outcome')} > 0",
                },
            ),
            Panel(
                "Waits for a place of the tenant, a minute",
                "Looks for a place under a tenant's cap (max-streams) that found none. For long: have the "
                "limit raised at Corti and here.",
                {"{{tenant}}": f"{per_minute('corti_admissions_refused_total', 'tenant')} > 0"},
            ),
        ],
        "What leaves": [
            Panel(
                "Events published by type, a minute",
                "completed and failed are results; the others are live events that jobs asked for.",
                {"{{type}}": per_minute("corti_events_published_total", "type")},
            ),
            Panel(
                "Results that are not confirmed yet",
                "Stored in Redis, waiting for the broker. More than a handful: the broker refuses them.",
                {"results": f"max({metric('corti_outbox_results')})"},
            ),
            Panel(
                "Age of the oldest of them",
                "How late the latest consultation is by our delivery. Seconds are normal. Minutes: runbook, "
                "CortiResultsStuck.",
                {"age": f"max({metric('corti_outbox_age_seconds')})"},
                unit="s",
            ),
            Panel(
                "Publishing that had to be repeated, a minute",
                "Retries: a restarting broker or a full queue. Swept: results of workers that died before "
                "they could deliver them; nothing to do.",
                {
                    "tried again": per_minute("corti_publish_retries_total"),
                    "swept": per_minute("corti_results_swept_total"),
                },
            ),
            Panel(
                "Dead letters by reason, a minute",
                "invalid_job: a producer. Others: jobs that failed; runbook, CortiJobsFailing.",
                {"{{reason}}": f"{per_minute('corti_dead_letters_total', 'reason')} > 0"},
                bars=True,
                width=16,
            ),
        ],
    },
)
