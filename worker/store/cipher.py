"""Encryption of what is stored in Redis: Fernet with key rotation, or none. Implements `Cipher`."""

from cryptography.fernet import Fernet, InvalidToken, MultiFernet


class FernetCipher:
    """Encrypts with the first key and reads what any of the keys encrypted.

    Args:
        keys: Fernet keys, newest first; at least one.
    """

    def __init__(self, keys: tuple[str, ...]) -> None:
        self._fernet = MultiFernet([Fernet(key) for key in keys])

    def encrypt(self, plain: bytes) -> bytes:
        """See `worker.jobs.ports.Cipher`."""
        return self._fernet.encrypt(plain)

    def decrypt(self, secret: bytes) -> bytes | None:
        """See `worker.jobs.ports.Cipher`."""
        try:
            return self._fernet.decrypt(secret)
        except InvalidToken:
            return None


class NoCipher:
    """Encrypts nothing, for installations without a key."""

    def encrypt(self, plain: bytes) -> bytes:
        """See `worker.jobs.ports.Cipher`."""
        return plain

    def decrypt(self, secret: bytes) -> bytes | None:
        """See `worker.jobs.ports.Cipher`."""
        return secret


def make_cipher(keys: str | None) -> FernetCipher | NoCipher:
    """The cipher for the setting `encryption_keys`: Fernet keys separated by commas, or None."""
    return FernetCipher(tuple(key.strip() for key in keys.split(","))) if keys else NoCipher()
