"""The auth server: token endpoint, discovery, keys (PROTOCOL.md 2)."""

from __future__ import annotations

import base64
import binascii
import hmac
from typing import TYPE_CHECKING
from urllib.parse import unquote_plus

from aiohttp import web

from ops.sandbox.web.state import STATE, base_url, cut

if TYPE_CHECKING:
    from ops.sandbox.web.state import State

_NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}
_BAD_CLIENT = "Invalid client or Invalid client credentials"
_GRANTS = ("client_credentials",)

routes = web.RouteTableDef()


class _OAuthError(Exception):
    """The token endpoint refuses a request, with the reply of Keycloak (PROTOCOL.md 2.4)."""

    def __init__(self, status: int, error: str, description: str | None = None) -> None:
        super().__init__(error)
        self.status = status
        self.body = {"error": error} | ({"error_description": description} if description else {})


@routes.post("/realms/{realm}/protocol/openid-connect/token")
async def token(request: web.Request) -> web.Response:
    """Exchange client credentials for an access token."""
    state = request.app[STATE]
    realm = request.match_info["realm"]
    faulty = _misbehave(request, state, realm)
    if faulty is not None:
        return faulty
    form = {key: value for key, value in (await request.post()).items() if isinstance(value, str)}
    try:
        _authenticate(request, state, realm, form)
    except _OAuthError as error:
        state.stats.token_requests[f"{error.status} {error.body['error']}"] += 1
        return web.json_response(error.body, status=error.status, headers=_NO_STORE)
    state.stats.token_requests["200"] += 1
    state.stats.tokens_issued += 1
    state.stats.tokens_by_realm[realm] += 1
    body = state.tokens.issue(
        tenant=realm,
        issuer=f"{base_url(request)}/realms/{realm}",
        scope=form.get("scope", "openid"),
        now=state.clock.now(),
    )
    return web.json_response(body, headers=_NO_STORE)


def _misbehave(request: web.Request, state: State, realm: str) -> web.Response | None:
    down = state.faults.take("auth_down", realm)
    if down is not None and down["how"] == "cut":
        state.stats.token_requests["cut"] += 1
        cut(request)
        return web.Response()
    if down is not None:
        state.stats.token_requests["503"] += 1
        return web.Response(status=503, text="<html><body>503 Service Unavailable</body></html>")
    fault = state.faults.take("auth_error", realm)
    if fault is None:
        return None
    state.stats.token_requests[f"{fault['status']} {fault['error']}"] += 1
    headers = {} if fault["retry_after"] is None else {"Retry-After": f"{fault['retry_after']:g}"}
    return web.json_response({"error": fault["error"]}, status=fault["status"], headers=headers)


def _authenticate(request: web.Request, state: State, realm: str, form: dict[str, str]) -> None:
    known = state.tokens.clients.get(realm)
    if known is None:
        raise _OAuthError(404, "Realm does not exist")
    grant = form.get("grant_type")
    if not grant:
        raise _OAuthError(400, "invalid_request", "Missing form parameter: grant_type")
    client, secret = _basic(request) or (form.get("client_id"), form.get("client_secret"))
    if client != known.identity:
        raise _OAuthError(401, "invalid_client", _BAD_CLIENT)
    if not hmac.compare_digest((secret or "").encode(), known.secret.encode()):
        raise _OAuthError(401, "unauthorized_client", _BAD_CLIENT)
    if grant not in _GRANTS:
        raise _OAuthError(400, "unsupported_grant_type", "Unsupported grant_type")


def _basic(request: web.Request) -> tuple[str, str] | None:
    scheme, _, value = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        client, _, secret = base64.b64decode(value, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    # RFC 6749, 2.3.1: client id and secret are form-encoded before they are joined.
    return unquote_plus(client), unquote_plus(secret)


@routes.get("/realms/{realm}/.well-known/openid-configuration")
async def discovery(request: web.Request) -> web.Response:
    """Return the OpenID Connect discovery document of the realm."""
    realm = _known_realm(request)
    if isinstance(realm, web.Response):
        return realm
    issuer = f"{base_url(request)}/realms/{realm}"
    endpoint = f"{issuer}/protocol/openid-connect"
    return web.json_response(
        {
            "issuer": issuer,
            "token_endpoint": f"{endpoint}/token",
            "jwks_uri": f"{endpoint}/certs",
            "grant_types_supported": list(_GRANTS),
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "scopes_supported": ["openid", "email", "profile", "streams", "transcribe"],
        }
    )


@routes.get("/realms/{realm}/protocol/openid-connect/certs")
async def certs(request: web.Request) -> web.Response:
    """Return the public key for checking tokens, as a JSON Web Key Set."""
    realm = _known_realm(request)
    return (
        realm if isinstance(realm, web.Response) else web.json_response(request.app[STATE].tokens.key_set())
    )


def _known_realm(request: web.Request) -> str | web.Response:
    realm = request.match_info["realm"]
    if realm in request.app[STATE].tokens.clients:
        return realm
    return web.json_response({"error": "Realm does not exist"}, status=404)
