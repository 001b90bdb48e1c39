"""Every metric, named once: its name, meaning, labels and the reason for its buckets.

Labels are bounded: reason codes, outcomes, layers. Never a patient, a job, an interaction or a file.
`worker/metrics.py` turns these into Prometheus metrics; everything else only names them.
"""

from dataclasses import dataclass

#: From a handshake on a good day to a job that waited for the night shift to end.
_WAITS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 1800.0)
#: A consultation lasts minutes; the longest that we take lasts hours.
_JOBS = (5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 2700.0, 3600.0, 5400.0, 7200.0, 14400.0)
#: Around the pacer's tick of 5 ms, and up to where the service would notice.
_LATENESS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)


@dataclass(frozen=True, slots=True)
class Counter:
    """Something that only grows.

    Attributes:
        watched: Counted elsewhere and asked for at each scrape.
    """

    name: str
    help: str
    labels: tuple[str, ...] = ()
    watched: bool = False


@dataclass(frozen=True, slots=True)
class Histogram:
    """A distribution; `watched` as in `Counter`."""

    name: str
    help: str
    buckets: tuple[float, ...]
    labels: tuple[str, ...] = ()
    watched: bool = False


@dataclass(frozen=True, slots=True)
class Gauge:
    """A level, asked for at each scrape."""

    name: str
    help: str


DOOR_MESSAGES = Counter(
    "corti_door_messages_total",
    "Messages taken from corti.jobs, by outcome (accepted, refused).",
    ("outcome",),
)
JOBS_RECEIVED = Counter("corti_jobs_received_total", "Deliveries of jobs taken up by this worker.")
JOBS_FINISHED = Counter(
    "corti_jobs_finished_total",
    "Jobs that ended in a confirmed result, by outcome (completed, failed) and reason code.",
    ("outcome", "reason"),
)
JOBS_RETRIED = Counter(
    "corti_jobs_retried_total", "Attempts that failed and were tried again, by reason code.", ("reason",)
)
JOB_SECONDS = Histogram("corti_job_duration_seconds", "From taking up a job to its confirmed result.", _JOBS)
AUDIO_SECONDS = Counter(
    "corti_audio_streamed_seconds_total", "Seconds of audio sent, by the audio's own clock.", watched=True
)
AUDIO_BYTES = Counter("corti_audio_streamed_bytes_total", "Bytes of audio sent.", watched=True)
PACING_LATENESS = Histogram(
    "corti_pacing_lateness_seconds", "How late a chunk was sent after it was due.", _LATENESS, watched=True
)
STREAM_OPEN_SECONDS = Histogram(
    "corti_stream_open_seconds", "Setting up a stream: TCP, TLS and upgrade.", _WAITS
)
STREAMS_ENDED = Counter(
    "corti_streams_ended_total", "Streams that ended, by reason code (ended for a good end).", ("reason",)
)
SEGMENTS = Counter("corti_transcript_segments_total", "Final transcript segments received.")
FACTS = Counter("corti_facts_total", "Facts in completed results.")
CREDITS = Counter("corti_credits_total", "Credits that the service charged for completed streams.")
TOKEN_HITS = Counter(
    "corti_token_hits_total",
    "Tokens handed out, by where they came from (process, redis, fetched).",
    ("layer",),
)
TOKEN_FETCHES = Counter(
    "corti_token_fetches_total",
    "Requests to the token endpoint, by outcome (ok or reason code).",
    ("outcome",),
)
TOKEN_REFUSALS = Counter("corti_token_refusals_total", "Tokens that the service refused before they expired.")
TOKEN_CACHE_ERRORS = Counter(
    "corti_token_cache_errors_total", "Times the shared token cache was out of reach or unreadable."
)
REST_SECONDS = Histogram(
    "corti_rest_request_seconds",
    "Requests to the REST API, by operation and status class (2xx, 4xx, 5xx, error).",
    _WAITS,
    ("operation", "status"),
)
EVENTS_PUBLISHED = Counter(
    "corti_events_published_total", "Events confirmed by the broker, by type.", ("type",)
)
PUBLISH_RETRIES = Counter("corti_publish_retries_total", "Publishing attempts that failed and were repeated.")
DEAD_LETTERS = Counter("corti_dead_letters_total", "Messages and jobs given up, by reason code.", ("reason",))
LEASE_RENEWALS = Counter(
    "corti_redis_lease_renewals_total",
    "Renewals of the broker's lease on a running delivery (Redis), by outcome (renewed, lost, error).",
    ("outcome",),
)

CLAIMS = Counter(
    "corti_claims_total",
    "Claims asked for, by what was found (claimed, taken_over, busy, finished).",
    ("outcome",),
)
CLAIM_RENEWALS = Counter(
    "corti_claim_renewals_total", "Renewals of claims, by outcome (renewed, lost, error).", ("outcome",)
)
JOBS_HANDED_BACK = Counter(
    "corti_jobs_handed_back_total",
    "Deliveries that ended without a result here, by reason (drain, claim_lost, set_aside, unconfirmed).",
    ("reason",),
)
JOBS_REPEATED = Counter(
    "corti_jobs_repeated_total",
    "Deliveries of finished jobs, by what was done (dropped, republished).",
    ("outcome",),
)
ADMISSIONS_REFUSED = Counter(
    "corti_admissions_refused_total", "Times a job had to wait for one of its tenant's places."
)
RESULTS_SWEPT = Counter(
    "corti_results_swept_total", "Results delivered for a worker that had stored but not delivered them."
)

SLOTS = Gauge("corti_slots", "Jobs this worker can run at once.")
JOBS_RUNNING = Gauge("corti_jobs_running", "Jobs this worker is running now.")
STREAMS_OPEN = Gauge("corti_streams_open", "Streams whose audio the pacer is moving now.")

Measure = Counter | Histogram
EVERY = tuple(value for value in tuple(globals().values()) if isinstance(value, Counter | Histogram | Gauge))
