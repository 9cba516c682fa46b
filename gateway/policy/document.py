"""Policy files are read strictly: one spelling, nothing unknown, nothing twice, nothing silently rounded."""

import json
from typing import Any, NoReturn, TypeVar

import msgspec

from gateway.errors import PolicyInvalid

#: Bytes. The largest file shipped here has some 40 KiB; a policy nobody can read is no policy.
MAX_DOCUMENT_BYTES = 1 << 20

T = TypeVar("T")


def read_json(raw: bytes, what: str) -> Any:
    """The JSON value in ``raw``. Raises `PolicyInvalid`, naming ``what``, for anything RFC 8259 leaves open:
    duplicate members, NaN, fractions, a byte order mark, and for too many bytes or levels."""
    if len(raw) > MAX_DOCUMENT_BYTES:
        raise PolicyInvalid(f"the {what} is longer than {MAX_DOCUMENT_BYTES} bytes")

    def refuse(_: str) -> NoReturn:
        raise PolicyInvalid(f"the {what} holds a number that is no integer")

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        members = dict(pairs)
        if len(members) != len(pairs):
            raise PolicyInvalid(f"the {what} holds a member twice")
        return members

    try:
        return json.loads(
            raw.decode("utf-8"), object_pairs_hook=unique, parse_float=refuse, parse_constant=refuse
        )
    except (ValueError, RecursionError):
        raise PolicyInvalid(f"the {what} is not strict JSON") from None


def read_document(raw: bytes, shape: type[T], what: str) -> T:
    """The document in ``raw``, of this shape. Raises `PolicyInvalid` for anything else."""
    try:
        return msgspec.convert(read_json(raw, what), shape)
    except msgspec.ValidationError:
        raise PolicyInvalid(f"the {what} does not have the shape of one") from None
