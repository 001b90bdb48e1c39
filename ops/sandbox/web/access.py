"""Access control: bearer tokens and tenants, for REST and sockets (PROTOCOL.md 1, 2.3, 2.4, 3.4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ops.sandbox.rest import errors
from ops.sandbox.tokens import SOCKET_SCOPES, TokenRefusedError
from ops.sandbox.web.state import STATE

if TYPE_CHECKING:
    from aiohttp import web


class UnauthorizedError(Exception):
    """Reply 401 with an empty body and the reason in ``WWW-Authenticate``."""

    def headers(self) -> dict[str, str]:
        """Return the headers of the reply."""
        challenge = f'Bearer realm="sandbox", error="invalid_token", error_description="{self}"'
        return {"WWW-Authenticate": challenge}


def rest_tenant(request: web.Request) -> str:
    """Check the two headers of a REST request and return its tenant.

    Raises:
        UnauthorizedError: 401, the token is missing or refused.
        ApiError: 403, the tenant header is missing or is not the token's, or the token is for sockets only.
    """
    return _check(request, request.headers.get("Authorization"), request.headers.get("Tenant-Name"), None)


def socket_tenant(request: web.Request) -> str:
    """Check the query of an upgrade request and return its tenant.

    Only the query is read; the header that the vendor's SDK also sends is ignored (PROTOCOL.md 1).

    Raises:
        UnauthorizedError: 401, the token is missing or refused.
        ApiError: 403, the tenant is missing or is not the token's, or the token is for another endpoint only.
    """
    return _check(request, request.query.get("token"), request.query.get("tenant-name"), "streams")


def _check(request: web.Request, credential: str | None, tenant: str | None, scope: str | None) -> str:
    state = request.app[STATE]
    scheme, _, token = (credential or "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise UnauthorizedError("Bearer token is missing")
    try:
        bearer = state.tokens.check(token, state.clock.now())
    except TokenRefusedError as error:
        raise UnauthorizedError(str(error)) from error
    if tenant is None:
        raise errors.forbidden("the tenant name is missing")
    if tenant != bearer.tenant:
        raise errors.forbidden("the token belongs to another tenant")
    restricted = bearer.scopes & SOCKET_SCOPES
    if restricted and scope not in restricted:
        raise errors.forbidden(f"the token is restricted to {', '.join(sorted(restricted))}")
    return tenant
