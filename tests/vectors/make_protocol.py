"""Write `tests/vectors/protocol/*.json`: ``python -m tests.vectors.make_protocol``.

Each file is ``{"about", "codes", "cases"}``; each case has a name, an input, and ``expect``: ``accept`` or one code.
Ciphertexts and ML-DSA signatures are drawn afresh each time, all else comes out the same: run it only for a change.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.vectors import (
    protocol_documents as documents,
)
from tests.vectors import (
    protocol_sealed as whole,
)
from tests.vectors import (
    protocol_seals as seals,
)
from tests.vectors import (
    protocol_signed as signed,
)
from tests.vectors import (
    protocol_world as world,
)
from tests.vectors.protocol_bytes import sha256

FOLDER = Path(__file__).with_name("protocol")

Case = dict[str, Any]


def world_file() -> Case:
    """Who the vectors are about: entries, agreements, private seeds, and the clock."""
    return {
        "about": "Clock, entries, agreements and private seeds that every other file uses. A P-256 private scalar is"
        " the seed as a big-endian integer modulo (n - 1), plus 1; Ed25519, ML-DSA-65 and the HPKE seed take the 32"
        " bytes as they are.",
        "now": world.NOW,
        "sender": world.ENTRIES[world.SENDER],
        "recipient": world.ENTRIES[world.RECIPIENT],
        "agreements": {
            name: {**world.signed_agreement(raw), "sha256": sha256(raw).hex()}
            for name, raw in world.TERMS.items()
        },
        "private_seeds": world.private_seeds(),
    }


FILES: dict[str, tuple[str, Callable[[], list[Case]]]] = {
    "batches": (
        "POST bodies as a list of pieces, base64url text or a number of zero bytes: framing alone.",
        documents.batches,
    ),
    "preambles": (
        "The first line of a sealed message, base64url, without its line feed.",
        documents.preambles,
    ),
    "plaintexts": (
        "Plaintexts as a list of pieces, base64url text or a number of zero bytes.",
        documents.plaintexts,
    ),
    "seals": (
        "Both JWS of a payload (text), at `now`, under the profile of `agreement`: form, keys, signatures and window.",
        seals.cases,
    ),
    "payloads": ("Payloads, as text or (not UTF-8) base64url.", documents.payloads),
    "sealed": (
        (
            "Whole messages, base64url, that arrive over the TLS identity `from` while `agreement` is in force and"
            " `next_seq` is the next number of the conversation; `known`: messages accepted before, id to digest."
            " `stage`: the POST is refused as a whole, or the message in the receipt."
        ),
        whole.cases,
    ),
    "receipts": (
        "A receipt of the recipient, as the sender sees it that sent `sent` (id, digest).",
        signed.receipts,
    ),
    "checkpoints": (
        "A signed head in a seal of the sender, as the recipient verifies it.",
        signed.checkpoints,
    ),
    "agreements": (
        "An agreement as it travels; `accept` where both signatures hold. `signed` says whose signatures are there.",
        signed.agreements,
    ),
}


def file_of(name: str) -> Case:
    """The content of one file, made anew."""
    about, cases = FILES[name]
    found = cases()
    if len({case["name"] for case in found}) != len(found):
        raise ValueError("two cases share a name")
    return {"about": about, "codes": sorted({case["expect"] for case in found}), "cases": found}


def write() -> None:
    """Write every file."""
    FOLDER.mkdir(exist_ok=True)
    for name, content in [("world", world_file()), *((name, file_of(name)) for name in FILES)]:
        text = json.dumps(content, ensure_ascii=False, indent=1)
        (FOLDER / f"{name}.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    write()
