"""The tables of the blind index of persons."""

from __future__ import annotations

from typing import Final

from sqlalchemy import Index, Table

from adapters.stores.columns import blob as _blob
from adapters.stores.columns import flag as _flag
from adapters.stores.columns import instant as _instant
from adapters.stores.columns import integer as _integer
from adapters.stores.columns import narrow as _narrow
from adapters.stores.columns import text as _text
from adapters.stores.columns import wide as _wide
from gateway.model import find_rows, rows

_sightings = _wide(
    "sightings",
    _integer("id", key=True),
    _text("what"),
    _text("place"),
    _text("key"),
    _text("subject"),
    _instant("at"),
    _integer("position"),
    _flag("born"),
    _integer("posted"),
    _blob("terms"),
)
Index("sightings_by_key", _sightings.c.key)
Index("sightings_by_subject", _sightings.c.subject)

# Nothing but a key of 24 bytes: the row is its own index, and millions of them stay small.
_terms = _narrow(
    "sighting_terms",
    _blob("term", key=True),
    _integer("sighting", key=True),
)

#: Where each row type is kept.
FINDS: Final[dict[type[rows.Row], Table]] = {
    find_rows.SightingRow: _sightings,
    find_rows.TermRow: _terms,
}
