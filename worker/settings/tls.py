"""Checks of TLS files: they need a URL with TLS, and a key needs its certificate."""

from pathlib import Path

from pydantic import SecretStr


def secure(url: SecretStr | None) -> bool:
    """Whether a URL is one with TLS."""
    return url is not None and url.get_secret_value().startswith(("rediss:", "amqps:"))


def check(
    party: str, url: SecretStr | None, ca_file: Path | None, cert_file: Path | None, key_file: Path | None
) -> None:
    """Raise ValueError, in words, where the files do not fit.

    Args:
        party: BROKER or REDIS, as in the names of the settings.
        url: Where the connections go.
        ca_file: Authorities to trust.
        cert_file: The client certificate.
        key_file: Its key.
    """
    given = [name for name, file in (("CA", ca_file), ("CERT", cert_file), ("KEY", key_file)) if file]
    prefix = f"CORTI_WORKER_{party}"
    if given and not secure(url):
        raise ValueError(
            f"expected rediss:// or amqps:// in {prefix}_URL, because {prefix}_{given[0]}_FILE is set"
        )
    if key_file and not cert_file:
        raise ValueError(f"expected {prefix}_CERT_FILE, because {prefix}_KEY_FILE is set")
