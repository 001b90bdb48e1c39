"""Every metric, named once: its name, meaning, labels and the reason for its buckets.

Labels are bounded: reason codes, outcomes, layers, our own queues. Never a patient, a job, an
interaction or a file. `worker/telemetry/metrics.py` turns these into Prometheus metrics; everything else only
names them. Metrics with `exemplar` set carry the trace id of a job in their exemplars.

Counters and histograms are a process's own: sum them over workers. The gauges for the whole installation
(`corti_queue_depth`, `corti_outbox_*`) are exported by one process at a time, the observer
(worker/store/ledger/fleet.py); read them with `max`, because two may export them while the observer changes.
"""

from worker.telemetry.metric_kinds import Counter, Gauge, Histogram, Info

#: From a fast handshake to a job that waited for half an hour. One bound is at 60 s, by which 99 % of jobs
#: shall have started.
_WAITS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 900.0, 1800.0)
#: Requests end within CORTI_WORKER_HTTP_TIMEOUT, 30 s unless set.
_REQUESTS = (0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
#: A consultation lasts minutes; the longest that we take lasts hours.
_JOBS = (5.0, 15.0, 30.0, 60.0, 120.0, 300.0, 600.0, 900.0, 1800.0, 2700.0, 3600.0, 5400.0, 7200.0, 14400.0)
#: Around the pacer's tick of 5 ms, and up to where the service would notice.
_LATENESS = (0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)


# -- jobs: from the door to the result ---------------------------------------------------------

DOOR_MESSAGES = Counter(
    "corti_door_messages_total",
    "Messages taken from corti.jobs, by outcome (accepted, refused). A job that was set aside passes again.",
    ("outcome",),
)
JOBS_RECEIVED = Counter("corti_jobs_received_total", "Deliveries of jobs taken up by this worker.")
JOB_WAIT_SECONDS = Histogram(
    "corti_job_wait_seconds",
    "From the door's acceptance of a job to its first start, by the wall clocks of both.",
    _WAITS,
    exemplar=True,
)
JOBS_FINISHED = Counter(
    "corti_jobs_finished_total",
    "Jobs that ended in a confirmed result, by outcome (completed, failed) and reason code.",
    ("outcome", "reason"),
    exemplar=True,
)
JOBS_RETRIED = Counter(
    "corti_jobs_retried_total",
    "Attempts that failed and were tried again, by reason code.",
    ("reason",),
    exemplar=True,
)
JOB_SECONDS = Histogram(
    "corti_job_duration_seconds",
    "From taking up a job to its confirmed result.",
    _JOBS,
    exemplar=True,
)
JOB_AUDIO_SECONDS = Histogram(
    "corti_job_audio_seconds",
    "Seconds of audio in completed jobs: to hold against their duration.",
    _JOBS,
)
#: What a job costs beside its audio: set-up and ending, or retries and waiting for an outage to end.
JOB_OVERHEAD_SECONDS = Histogram(
    "corti_job_overhead_seconds",
    "How much longer a completed job took than its audio at its pace.",
    _WAITS,
    exemplar=True,
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
DEAD_LETTERS = Counter(
    "corti_dead_letters_total",
    "Messages and jobs given up, by reason code.",
    ("reason",),
    exemplar=True,
)
ADMISSIONS_REFUSED = Counter(
    "corti_admissions_refused_total",
    "Times a job found all of its tenant's places taken, by tenant. A job that waits asks once a second.",
    ("tenant",),
)
TENANT_JOBS_FINISHED = Counter(
    "corti_tenant_jobs_finished_total",
    "Jobs that ended in a confirmed result, by tenant and outcome (completed, failed). A tenant that this "
    "worker does not serve is called unknown.",
    ("tenant", "outcome"),
)
TENANT_JOBS_RUNNING = Gauge(
    "corti_tenant_jobs_running", "Jobs this worker is running now, by tenant.", ("tenant",)
)

# -- streams -----------------------------------------------------------------------------------

STREAM_OPEN_SECONDS = Histogram(
    "corti_stream_open_seconds", "Setting up a stream: TCP, TLS and upgrade.", _REQUESTS, exemplar=True
)
STREAMS_ENDED = Counter(
    "corti_streams_ended_total", "Streams that ended, by reason code (ended for a good end).", ("reason",)
)
FIRST_SEGMENT_SECONDS = Histogram(
    "corti_first_segment_seconds",
    "From an open stream to the arrival of its first transcript segment.",
    (1.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 60.0, 120.0, 300.0),
    exemplar=True,
)
AUDIO_SECONDS = Counter(
    "corti_audio_streamed_seconds_total", "Seconds of audio sent, by the audio's own clock.", watched=True
)
AUDIO_BYTES = Counter("corti_audio_streamed_bytes_total", "Bytes of audio sent.", watched=True)
PACING_LATENESS = Histogram(
    "corti_pacing_lateness_seconds", "How late a chunk was sent after it was due.", _LATENESS, watched=True
)
SEGMENTS = Counter("corti_transcript_segments_total", "Final transcript segments received.")
FACTS = Counter("corti_facts_total", "Facts in completed results.")
CREDITS = Counter("corti_credits_total", "Credits that the service charged for completed streams.")

# -- the service's REST API and tokens ---------------------------------------------------------

REST_SECONDS = Histogram(
    "corti_rest_request_seconds",
    "Requests to the REST API, by operation and status class (2xx, 4xx, 5xx, error).",
    _REQUESTS,
    ("operation", "status"),
    exemplar=True,
)
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
TOKEN_FETCH_SECONDS = Histogram(
    "corti_token_fetch_seconds", "Requests to the token endpoint, answered or not.", _REQUESTS
)
TOKEN_WAIT_SECONDS = Histogram(
    "corti_token_wait_seconds",
    "How long a job waited for a token that its process did not hold ready.",
    _REQUESTS,
)
TOKEN_REFUSALS = Counter("corti_token_refusals_total", "Tokens that the service refused before they expired.")
TOKEN_CACHE_ERRORS = Counter(
    "corti_token_cache_errors_total", "Times the shared token cache was out of reach or unreadable."
)
TOKEN_AGE = Gauge(
    "corti_token_age_seconds",
    "Age of the token that this process holds, by tenant; absent while it holds none that is good.",
    ("tenant",),
)
TENANT_TOKENS_OK = Gauge(
    "corti_tenant_tokens_ok",
    "0 where this process asked for a token in vain and has had none since, else 1; by tenant.",
    ("tenant",),
)

# -- claims, leases, results -------------------------------------------------------------------

CLAIMS = Counter(
    "corti_claims_total",
    "Claims asked for, by what was found (claimed, taken_over, busy, finished).",
    ("outcome",),
)
CLAIM_RENEWALS = Counter(
    "corti_claim_renewals_total", "Renewals of claims, by outcome (renewed, lost, error).", ("outcome",)
)
LEASE_RENEWALS = Counter(
    "corti_redis_lease_renewals_total",
    "Renewals of the broker's lease on a running delivery (Redis), by outcome (renewed, lost, error).",
    ("outcome",),
)
EVENTS_PUBLISHED = Counter(
    "corti_events_published_total", "Events confirmed by the broker, by type.", ("type",)
)
PUBLISH_RETRIES = Counter("corti_publish_retries_total", "Publishing attempts that failed and were repeated.")
RESULTS_SWEPT = Counter(
    "corti_results_swept_total", "Results delivered for a worker that had stored but not delivered them."
)
OUTBOX_RESULTS = Gauge(
    "corti_outbox_results", "Results of the installation that are stored and not yet confirmed. Use max."
)
OUTBOX_AGE = Gauge(
    "corti_outbox_age_seconds",
    "How long the oldest of them has been stored; 0 when there is none. Use max.",
)
AUDIT_RECORDS = Counter(
    "corti_audit_records_total", "Audit records, by outcome (written, lost).", ("outcome",)
)

# -- levels of a process and of the installation -----------------------------------------------

SLOTS = Gauge("corti_slots", "Jobs this worker can run at once.")
JOBS_RUNNING = Gauge("corti_jobs_running", "Jobs this worker is running now.")
STREAMS_OPEN = Gauge("corti_streams_open", "Streams whose audio the pacer is moving now.")
DRAINING = Gauge("corti_draining", "1 from SIGTERM on, else 0.")
CHECKS = Gauge(
    "corti_check_ok", "1 where a check behind /readyz passes, 0 where it fails, by check.", ("check",)
)
QUEUE_DEPTH = Gauge(
    "corti_queue_depth",
    "Messages of the installation by queue and state: waiting, and for Celery's queue running. Use max.",
    ("queue", "state"),
)
BUILD = Info("corti_worker_build", "What runs here.", ("version",))

Measure = Counter | Histogram
EVERY = tuple(
    value for value in tuple(globals().values()) if isinstance(value, Counter | Histogram | Gauge | Info)
)
