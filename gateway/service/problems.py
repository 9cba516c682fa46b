"""The one mapper from errors to answers (RFC 9457). A partner sees one of a few codes, and never a field or a value."""

from __future__ import annotations

import msgspec
from aiohttp import web

from gateway.errors import (
    AuditBroken,
    ConfigInvalid,
    Conflict,
    GatewayError,
    LocalFault,
    NotFound,
    PartnerFault,
    RoleMissing,
    Unavailable,
)

#: What a partner may be told, and with which status. Anything else is "internal".
PARTNER_STATUS = {
    "malformed": 400,
    "schema-violation": 400,
    "signature-invalid": 403,
    "unknown-partner": 403,
    "wrong-audience": 403,
    "replayed": 403,
    "digest-conflict": 409,
    "out-of-order": 409,
    "outside-agreement": 403,
    "too-large": 413,
    "length-required": 411,
    "too-slow": 408,
    "quota": 429,
    "unavailable": 503,
}

_DESK_STATUS: tuple[tuple[type[GatewayError], int], ...] = (
    (NotFound, 404),
    (RoleMissing, 403),
    (Conflict, 409),
    (ConfigInvalid, 400),
    (LocalFault, 422),
    (PartnerFault, 422),
    (Unavailable, 503),
    (AuditBroken, 500),
)


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """An RFC 9457 problem document. ``diagnostic`` goes to our own officers only."""

    type: str
    title: str
    status: int
    detail: str = ""
    diagnostic: dict[str, str | int] = {}


def partner_problem(error: GatewayError) -> web.Response:
    """An answer for a partner: status and code, nothing more."""
    code = error.code if error.code in PARTNER_STATUS else "unavailable"
    status = PARTNER_STATUS[code]
    response = _response(Problem(f"urn:ecluse:problem:{code}", code, status))
    if isinstance(error, Unavailable) and error.retry_after is not None:
        response.headers["Retry-After"] = str(round(error.retry_after))
    return response


def desk_problem(error: GatewayError) -> web.Response:
    """An answer for an officer: the code, the safe sentence and the closed diagnostic."""
    # What is none of these is a defect of ours: the caller may come back, and learns only that (code "internal").
    status = next((status for kind, status in _DESK_STATUS if isinstance(error, kind)), 503)
    problem = Problem(
        f"urn:ecluse:problem:{error.code}", error.code, status, error.detail, dict(error.diagnostic)
    )
    return _response(problem)


def _response(problem: Problem) -> web.Response:
    return web.Response(
        status=problem.status, body=msgspec.json.encode(problem), content_type="application/problem+json"
    )
