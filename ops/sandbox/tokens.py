"""Issue and check access tokens as the service's auth server does (PROTOCOL.md 2)."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from jwt.algorithms import RSAAlgorithm

if TYPE_CHECKING:
    from collections.abc import Mapping

_ALGORITHM = "RS256"
_KEY_ID = "sandbox"
#: Scopes that restrict a token to one kind of socket (PROTOCOL.md 2.3).
SOCKET_SCOPES = frozenset({"streams", "transcribe"})


class TokenRefusedError(Exception):
    """A bearer token is refused; the text becomes ``error_description``."""


@dataclass(frozen=True)
class Bearer:
    """The claims of a checked access token."""

    tenant: str
    client_id: str
    scopes: frozenset[str]


@dataclass(frozen=True)
class Client:
    """The credentials with which tokens can be requested in a realm."""

    identity: str
    secret: str = field(repr=False)


class TokenIssuer:
    """Signs tokens for the client of each realm, and checks them.

    Callers pass the time, in seconds since the epoch.
    """

    def __init__(self, *, clients: Mapping[str, Client], token_seconds: float) -> None:
        self.clients = dict(clients)
        self.token_seconds = token_seconds
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self._alive: dict[str, float] = {}

    def issue(self, *, tenant: str, issuer: str, scope: str, now: float) -> dict[str, Any]:
        """Return the body of a successful token reply (PROTOCOL.md 2.2)."""
        self._forget_expired(now)
        client = self.clients[tenant].identity
        identity, subject = str(uuid.uuid4()), str(uuid.uuid5(uuid.NAMESPACE_URL, client))
        expires = now + self.token_seconds
        scopes = " ".join(dict.fromkeys([*scope.split(), "email", "profile"]))
        claims = {"iss": issuer, "sub": subject, "iat": int(now), "exp": expires, "azp": client}
        access = {**claims, "jti": identity, "typ": "Bearer", "scope": scopes, "tenant": tenant}
        self._alive[identity] = expires
        return {
            "access_token": self._sign(access),
            "expires_in": int(self.token_seconds),
            "refresh_expires_in": 0,
            "token_type": "Bearer",
            "id_token": self._sign({**claims, "jti": str(uuid.uuid4()), "typ": "ID", "aud": client}),
            "not-before-policy": 0,
            "scope": scopes,
        }

    def check(self, token: str, now: float) -> Bearer:
        """Verify signature, kind, expiry and revocation.

        Raises:
            TokenRefusedError: one of these checks failed.
        """
        try:
            # PyJWT would compare with the system clock; expiry is checked below against ``now``.
            options: Any = {"verify_exp": False, "verify_iat": False, "require": ["iss", "exp", "jti"]}
            claims = jwt.decode(token, self._key.public_key(), algorithms=[_ALGORITHM], options=options)
        except jwt.PyJWTError as error:
            raise TokenRefusedError("Token verification failed") from error
        if claims.get("typ") != "Bearer":
            raise TokenRefusedError("Token is not an access token")
        if claims["exp"] <= now:
            raise TokenRefusedError("Token is not active")
        if claims["jti"] not in self._alive:
            raise TokenRefusedError("Token has been revoked")
        return Bearer(claims["tenant"], claims["azp"], frozenset(claims["scope"].split()))

    def rotate(self, secret: str, tenant: str | None) -> None:
        """Replace the client secret of one realm, or of all realms when ``tenant`` is ``None``."""
        for realm, client in self.clients.items():
            if tenant in (None, realm):
                self.clients[realm] = Client(client.identity, secret)

    def revoke_all(self) -> None:
        """Refuse every token issued so far."""
        self._alive.clear()

    def key_set(self) -> dict[str, Any]:
        """Return the public key as a JSON Web Key Set."""
        key = RSAAlgorithm.to_jwk(self._key.public_key(), as_dict=True)
        return {"keys": [{**key, "kid": _KEY_ID, "use": "sig", "alg": _ALGORITHM}]}

    def _sign(self, claims: dict[str, Any]) -> str:
        return jwt.encode(claims, self._key, algorithm=_ALGORITHM, headers={"kid": _KEY_ID})

    def _forget_expired(self, now: float) -> None:
        # A token that is not in ``_alive`` counts as revoked. Expired tokens can be removed, because
        # ``check`` tests expiry first.
        self._alive = {identity: expires for identity, expires in self._alive.items() if expires > now}
