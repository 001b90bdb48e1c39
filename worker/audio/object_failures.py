"""What the exceptions of obstore mean for a job.

The library has few classes, and what S3, Google and Azure say is in its texts. So the table has words to look
for, too. The texts themselves stop here: they hold the key, the bucket and what the server wrote.
"""

from obstore import exceptions as obstore

from worker.contract.errors import JobError, PermanentError, Reason, TransientError

_RENEW = "renew the tenant's file of credentials, or those in the worker's environment and start it anew"
_EXPIRED = f"the credentials for the object store have expired: {_RENEW}"
_INVALID = f"the object store does not know the credentials: {_RENEW}"
_NONE_FOUND = (
    "no credentials for the object store could be had: give the tenant's directory a file of credentials, or "
    "look at the identity that the worker's environment gives it"
)
_NOT_OF_ITS_FORM = "the tenant's file of credentials, or CORTI_WORKER_S3_CA_FILE, is not of its form: mend it"
_NO_BUCKET = "the bucket of audio.uri does not exist: compare audio.uri with the operator's list of buckets"
_REGION = (
    "the bucket lies in another region: set CORTI_WORKER_S3_REGION, or region in the tenant's s3-credentials"
)
_HTTP = "the address of the object store is one without TLS: set CORTI_WORKER_S3_ALLOW_HTTP to allow that"
_RIGHTS = (
    "the object store refused the access: give the credentials the right to read the object; a missing "
    "object is refused so, too, where they may not list the bucket"
)
#: For whatever the object is found to have become, here and where its tag is compared.
CHANGED = "the object changed while it was read: each attempt reads one version, the next one the new one"

#: Exceptions and words in their texts (any of them; none at all for every text), the first that fits.
FAILURES: tuple[tuple[type[BaseException], tuple[str, ...], type[JobError], str], ...] = (
    (
        obstore.BaseError,
        ("<Code>Expired", "<Code>RequestExpired", "<Code>TokenRefresh"),
        TransientError,
        _EXPIRED,
    ),
    (
        obstore.BaseError,
        (
            "<Code>InvalidAccessKeyId",
            "<Code>SignatureDoesNotMatch",
            "<Code>InvalidToken",
            "<Code>AuthenticationFailed",
        ),
        TransientError,
        _INVALID,
    ),
    (
        obstore.BaseError,
        ("<Code>RequestTimeTooSkewed",),
        TransientError,
        "the object store and this machine do not agree on the time: set the machine's clock",
    ),
    (
        obstore.GenericError,
        (
            "/latest/api/token",
            "/latest/meta-data",
            "token request",
            "token file",
            "Account must be specified",
        ),
        TransientError,
        _NONE_FOUND,
    ),
    (
        FileNotFoundError,
        ("<Code>NoSuchBucket", "<Code>ContainerNotFound"),
        PermanentError,
        _NO_BUCKET,
    ),
    (FileNotFoundError, (), PermanentError, "audio.uri names no object of its bucket"),
    (obstore.PreconditionError, (), TransientError, CHANGED),
    (obstore.UnauthenticatedError, (), TransientError, _INVALID),
    (obstore.PermissionDeniedError, (), PermanentError, _RIGHTS),
    (
        obstore.GenericError,
        ("without LOCATION", "<Code>AuthorizationHeaderMalformed"),
        PermanentError,
        _REGION,
    ),
    (obstore.GenericError, ("ReadPem", "InvalidPem"), TransientError, _NOT_OF_ITS_FORM),
    (obstore.GenericError, ("source: BadScheme",), PermanentError, _HTTP),
    (
        obstore.GenericError,
        ("non-partial response",),
        PermanentError,
        "the object store does not answer requests for a range of bytes, which are needed",
    ),
    (
        obstore.GenericError,
        ("InvalidCertificate", "invalid peer certificate"),
        TransientError,
        "the certificate of the object store is not valid: CORTI_WORKER_S3_CA_FILE may name its authority",
    ),
    (
        obstore.GenericError,
        ("TimedOut", "Timeout"),
        TransientError,
        "the object store did not answer in time",
    ),
    (obstore.GenericError, ("kind: Connect",), TransientError, "the object store could not be connected to"),
    (obstore.BaseError, (), TransientError, "reading from the object store failed"),
    (ValueError, ("Could not parse path",), PermanentError, "audio.uri has a key that is not valid"),
    # They were of their form when the worker started. Perhaps they are being replaced at this moment.
    (ValueError, (), TransientError, _NOT_OF_ITS_FORM),
    (OSError, (), TransientError, "a file for the object store (credentials, authorities) could not be read"),
)


def mapped(error: BaseException) -> JobError:
    """What an exception of obstore means for the job; raises again what is none of its."""
    if type(error).__module__ == "pyo3_runtime":  # a panic of its Rust code
        return TransientError(Reason.AUDIO_UNREACHABLE, "the library for object stores failed (a panic)")
    text = str(error)
    for kind, words, ours, says in FAILURES:
        if isinstance(error, kind) and (not words or any(word in text for word in words)):
            return ours(Reason.AUDIO_UNREACHABLE, f"{says} ({type(error).__name__})")
    raise error
