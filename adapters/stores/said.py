"""Tables of what messages say of other messages and of agreements: corrections, offers, revocations."""

from __future__ import annotations

from sqlalchemy import Table

from adapters.stores.columns import instant, integer, narrow, text
from gateway.model import case_rows, rows

_corrections = narrow(
    "corrections",
    text("direction", key=True),
    text("partner", key=True),
    text("message_id", key=True),
    text("action"),
    text("reason"),
    text("replaced_by"),
    text("correction"),
    text("release"),
    instant("at"),
    text("answer"),
    text("answered_by"),
    instant("answered_at", nullable=True),
)

_offers = narrow(
    "offers",
    text("direction", key=True),
    text("partner", key=True),
    text("sha256", key=True),
    text("series"),
    integer("version"),
    text("message"),
    text("release"),
    instant("at"),
    text("signed"),
    text("signed_release"),
    instant("signed_at", nullable=True),
)

_revocations = narrow(
    "revocations",
    text("partner", key=True),
    text("sha256", key=True),
    text("direction"),
    text("message"),
    instant("at"),
)

SAID: dict[type[rows.Row], Table] = {
    case_rows.CorrectionRow: _corrections,
    case_rows.OfferRow: _offers,
    case_rows.RevocationRow: _revocations,
}
