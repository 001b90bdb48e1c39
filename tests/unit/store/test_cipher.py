"""Encryption of what is stored in Redis: any of our keys decrypts it, other keys do not; it is optional."""

import base64

import pytest
from cryptography.fernet import Fernet

from worker.store.cipher import make_cipher

OLD, NEW, OTHER = (Fernet.generate_key().decode() for _ in range(3))
PLAIN = b'{"text": "It hurts, says Ada."}'


@pytest.mark.parametrize("keys", [NEW, f"{NEW},{OLD}", f" {NEW} , {OLD} "], ids=["one", "two", "spaced"])
def test_what_was_encrypted_is_read_again_and_shows_nothing(keys: str) -> None:
    cipher = make_cipher(keys)
    secret = cipher.encrypt(PLAIN)
    assert cipher.decrypt(secret) == PLAIN
    # Texts with spaces: a few letters alone occur in one of some 2,000 Fernet tokens by chance.
    assert b"It hurts, says" not in secret
    assert b"It hurts, says" not in base64.urlsafe_b64decode(secret)


def test_keys_are_rotated_by_putting_the_new_one_first() -> None:
    both = make_cipher(f"{NEW},{OLD}")
    assert both.decrypt(make_cipher(OLD).encrypt(PLAIN)) == PLAIN
    assert make_cipher(NEW).decrypt(both.encrypt(PLAIN)) == PLAIN
    assert make_cipher(OLD).decrypt(both.encrypt(PLAIN)) is None


@pytest.mark.parametrize(
    "secret", [b"", b"in clear", make_cipher(OTHER).encrypt(PLAIN)], ids=["empty", "clear", "other"]
)
def test_a_text_that_cannot_be_decrypted_is_none(secret: bytes) -> None:
    assert make_cipher(NEW).decrypt(secret) is None


@pytest.mark.parametrize("keys", [None, ""])
def test_without_keys_it_is_stored_in_clear(keys: str | None) -> None:
    cipher = make_cipher(keys)
    assert cipher.encrypt(PLAIN) == PLAIN == cipher.decrypt(PLAIN)
