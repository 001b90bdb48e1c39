"""The settings: each with its range, default and meaning."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from worker.contract.job import Retention
from worker.settings.kinds import (
    AudioBuckets,
    AudioHosts,
    AuditPlace,
    Directories,
    ExistingDirectory,
    ExistingFile,
    FernetKeys,
    HttpUrl,
    Region,
    Seconds,
    SocketUrl,
    TenantName,
    secret_url,
)


class Fields(BaseModel):
    """Every setting on its own; `Settings` checks how they fit together."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    # Empty only where every job names a tenant of `tenants_dir`; `load` checks that.
    client_id: str = Field("", min_length=1, description="OAuth client id of your Corti API client.")
    client_secret: SecretStr = Field(SecretStr(""), min_length=1, description="OAuth client secret.")
    tenant: TenantName = Field("base", description="Corti tenant (realm).")
    environment: Region = Field("eu", description="Corti region: `eu` or `us`.")
    auth_url: HttpUrl | None = Field(
        None, description="Auth server, instead of the region's: `https://auth.eu.corti.app`."
    )
    api_url: HttpUrl | None = Field(
        None, description="REST API, instead of the region's: `https://api.eu.corti.app/v2`."
    )
    stream_url: SocketUrl | None = Field(
        None,
        description="WebSocket base, instead of the URL that the API returns: "
        "`wss://api.eu.corti.app/audio-bridge/v2`.",
    )
    ca_file: ExistingFile | None = Field(
        None, description="PEM file of certificate authorities to trust for Corti, instead of the system's."
    )

    broker_url: Annotated[SecretStr, secret_url("redis", "rediss", "amqp", "amqps")] = Field(
        SecretStr("redis://127.0.0.1:6379/0"),
        description="Queue broker: Redis (`redis://`, `rediss://`) or RabbitMQ (`amqp://`, `amqps://`).",
    )
    redis_url: Annotated[SecretStr, secret_url("redis", "rediss")] | None = Field(
        None, description="Redis for the shared token cache; the broker itself if that is Redis."
    )
    broker_ca_file: ExistingFile | None = Field(
        None, description="PEM file of authorities to trust for the broker, instead of the system's."
    )
    broker_cert_file: ExistingFile | None = Field(None, description="PEM file of a certificate to show it.")
    broker_key_file: ExistingFile | None = Field(None, description="PEM file of that certificate's key.")
    redis_ca_file: ExistingFile | None = Field(
        None, description="The same for the Redis in `CORTI_WORKER_REDIS_URL`; so the next two."
    )
    redis_cert_file: ExistingFile | None = Field(None, description="Client certificate for that Redis.")
    redis_key_file: ExistingFile | None = Field(None, description="Its key.")
    encryption_keys: FernetKeys = Field(
        None,
        description="Fernet keys for what is stored in Redis, newest first, separated by commas; "
        "unset: stored in clear.",
    )
    tenants_dir: ExistingDirectory | None = Field(
        None, description="Directory with a directory for each further tenant, named as jobs name it."
    )
    lane: str = Field(
        "",
        pattern=r"^[a-z0-9-]{0,32}$",
        description="Serve a lane of its own: `urgent` takes jobs from `corti.jobs.urgent`, whatever waits "
        "in `corti.jobs`.",
    )
    slots: int = Field(100, ge=1, le=10000, description="Jobs run at once by this process.")
    door: bool = Field(True, description="Whether `corti-worker run` also takes in producers' messages.")
    reply_prefix: str = Field(
        "corti.results.", min_length=1, description="What a job's `reply_to` must start with."
    )
    audio_root: Directories | None = Field(
        None,
        description="Directories that `file:` URIs must lie in, separated by colons; unset: no file is read.",
    )
    audio_hosts: AudioHosts | None = Field(
        None,
        description="Hosts that audio may be downloaded from, separated by commas: names, `*.example.org`, "
        "addresses, networks (`10.1.0.0/16`), and `public` for all with a public address; unset: `public`.",
    )
    audio_buckets: AudioBuckets | None = Field(
        None,
        description="What audio may be read from in object stores, separated by commas: buckets "
        "(`s3://bucket`, `gs://bucket`, `az://container`), each perhaps with a prefix (`s3://bucket/a/`); "
        "unset: none is read. Tenants of `CORTI_WORKER_TENANTS_DIR` have a file each instead.",
    )
    s3_endpoint: HttpUrl | None = Field(
        None, description="Server to ask for `s3:` audio, instead of Amazon's: any that speaks S3."
    )
    s3_region: Region | None = Field(
        None, description="Region of the buckets; unset: `AWS_REGION`, or else `us-east-1`."
    )
    s3_allow_http: bool = Field(
        False, description="Whether object stores of any kind may be asked without TLS (`http://`)."
    )
    s3_ca_file: ExistingFile | None = Field(
        None,
        description="PEM file of authorities to trust for object stores of any kind, besides the system's.",
    )
    download_min_speed: float = Field(
        0.25,
        ge=0,
        le=1,
        description="Seconds of audio that each second of waiting for a download must bring, measured over "
        "half a minute; 0 for no limit.",
    )
    download_max_bytes: int = Field(
        4294967296, ge=1, le=1 << 50, description="Largest download, in bytes (4 GiB)."
    )
    spool_dir: ExistingDirectory | None = Field(
        None,
        description="Directory for temporary copies of recordings that must be read at any offset and come "
        "from a server that gives no ranges; unset: the system's directory for temporary files.",
    )
    spool_bytes: int = Field(
        2147483648,
        ge=1,
        le=1 << 50,
        description="What these copies may hold at once in this process, in bytes (2 GiB).",
    )
    conversions: int = Field(
        2,
        ge=1,
        le=64,
        description="How many recordings may be decoded at the same moment, where the service does not take "
        "their format; the others wait, so that running streams do not.",
    )
    audio_max_seconds: Seconds = Field(14400, description="Longest audio that is accepted.")
    wav_as: Literal["pcm", "wav"] = Field(
        "pcm", description="Send WAV as declared raw PCM, or as the file it is, header included."
    )
    chunk_seconds: float = Field(0.25, ge=0.02, le=2, description="Audio per binary message.")
    simultaneous_connects: int = Field(
        8, ge=1, le=1000, description="Streams that may be connecting at the same moment."
    )
    http_timeout: Seconds = Field(
        30,
        description="For each request to the auth server and the API, for an audio URL's answer (redirects "
        "included), and for each silence of a download.",
    )
    connect_timeout: Seconds = Field(10, description="For TCP, TLS and upgrade of a stream, each.")
    config_timeout: Seconds = Field(15, description="For the answer to a stream's configuration.")
    ping_after: Seconds = Field(20, description="Silence from the service before a ping.")
    pong_timeout: Seconds = Field(20, description="Silence after the ping before a stream counts as dead.")
    end_timeout: Seconds = Field(
        120, description="For the end of a stream after its audio, from each message."
    )
    attempts: int = Field(5, ge=1, le=100, description="Attempts a job gets in all.")
    retry_base: Seconds = Field(1, description="First backoff range; each later one is twice as wide.")
    retry_cap: Seconds = Field(
        60, description="Widest backoff range, and longest Retry-After that is granted."
    )
    outage_patience: Seconds = Field(
        3600, description="How long a service that is away is waited for, without counting attempts."
    )
    publish_patience: Seconds = Field(
        300,
        description="How long a result is offered to a broker that is away before its job is handed back.",
    )
    lease: Seconds = Field(
        30,
        description="How long a job stays claimed by a worker that gives no sign of life.",
    )
    keep: float = Field(
        604800,
        gt=0,
        le=31536000,
        description="Seconds a job's outcome is remembered, to answer its repetition.",
    )
    on_repeat: Literal["drop", "republish"] = Field(
        "drop",
        description="What to do with a job that has ended: drop it, or publish its result again (results are "
        "then stored as long as outcomes).",
    )
    job_seconds: Seconds = Field(21600, description="Longest time one delivery of a job may take in all.")
    retention: Retention | None = Field(
        None,
        description="What the service does with the data of jobs that do not say: `retain` or `none`; unset: "
        "the service's own rule.",
    )
    tenant_streams: int = Field(
        0,
        ge=0,
        le=1000000,
        description="Most streams of a tenant at once across all workers; 0 for any number.",
    )
    grace: Seconds = Field(60, description="Seconds between SIGTERM and the end of the process.")
    idle_exit: float = Field(
        0,
        ge=0,
        le=86400,
        description="Seconds without a job after which the process ends by itself; 0 for never.",
    )
    visibility_timeout: int = Field(
        45, ge=4, le=43200, description="Redis broker: how soon the jobs of a dead worker are taken over."
    )
    consumer_timeout: int = Field(
        21600,
        ge=60,
        le=86400,
        description="RabbitMQ: longest time one job may take, as `x-consumer-timeout` of its queue.",
    )
    health_host: str = Field(
        "127.0.0.1", min_length=1, description="Address of the health and metrics server."
    )
    health_port: int = Field(9464, ge=0, le=65535, description="Its port; 0 picks a free one and logs it.")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="Least level logged.")
    log_format: Literal["auto", "json", "console"] = Field(
        "auto", description="One JSON object a line, or text for people; `auto`: text on a terminal."
    )
    audit: AuditPlace = Field(
        "stdout",
        description="Where the audit trail goes: `stdout`, a file that is appended to, or `off`.",
    )
