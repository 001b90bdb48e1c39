"""Errors of the REST API, with the error body documented in 2026 (PROTOCOL.md 3.4)."""

from __future__ import annotations

import uuid
from typing import Any

# The codes are those of the documentation of 2025. Which ``type`` the live service sends is not known
# (PROTOCOL.md 10), so clients must depend only on its last part.
_TYPE = "https://docs.corti.ai/about/errors#"


class ApiError(Exception):
    """A REST request is refused; has the fields of the reply, ``retry_after`` in seconds."""

    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        *,
        validation: list[dict[str, str]] | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(f"{status} {code}: {detail}")
        self.status = status
        self.code = code
        self.detail = detail
        self.validation = validation
        self.retry_after = retry_after

    def body(self) -> dict[str, Any]:
        """Return the JSON body; ``validationErrors`` is there only if there are any."""
        body: dict[str, Any] = {
            "requestid": str(uuid.uuid4()),
            "status": self.status,
            "type": _TYPE + self.code,
            "detail": self.detail,
        }
        if self.validation:
            body["validationErrors"] = self.validation
        return body

    def headers(self) -> dict[str, str]:
        """Return the headers of the reply: ``Retry-After`` or none."""
        return {} if self.retry_after is None else {"Retry-After": f"{self.retry_after:g}"}


def forbidden(detail: str) -> ApiError:
    """403: the tenant is missing or not the token's, or the token's scope does not allow the request."""
    return ApiError(403, "A0001", detail)


def bad_request(detail: str, validation: list[dict[str, str]] | None = None) -> ApiError:
    """400: the body is invalid; ``validation`` lists the fields."""
    return ApiError(400, "A0003", detail, validation=validation)


def bad_query(detail: str) -> ApiError:
    """400: a query parameter is invalid."""
    return ApiError(400, "A0013", detail)


def malformed_id(name: str) -> ApiError:
    """400: the id in the path is not a UUID."""
    return ApiError(400, "A0008", f"{name} is not a valid UUID")


def interaction_not_found() -> ApiError:
    """404: the tenant has no such interaction."""
    return ApiError(404, "A0007", "interaction not found")


def duplicate_identifier(identifier: str) -> ApiError:
    """409: another interaction of the tenant has this encounter identifier (PROTOCOL.md 3.2)."""
    return ApiError(409, "A0017", f"an interaction with encounter identifier {identifier!r} already exists")


def insufficient_balance() -> ApiError:
    """429: the tenant has no credits; lasts until credits are bought (PROTOCOL.md 8)."""
    return ApiError(429, "A0021", "insufficient balance: no credits left for this tenant")


def too_many_requests(retry_after: float | None) -> ApiError:
    """429: too many requests (PROTOCOL.md 8)."""
    return ApiError(429, "rate-limit", "too many requests", retry_after=retry_after)
