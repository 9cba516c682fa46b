"""Write the JSON Schema of an agreement's terms, for editors, from the types that decode them.

``python docs/agreement_schema.py``           print it
``python docs/agreement_schema.py --write``   write ``schemas/agreements/terms.json``
``python docs/agreement_schema.py --check``   exit 1 when the file shows other types
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import msgspec

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # run as a script, before the package is installed

from docs import drawn_page  # noqa: E402
from gateway.model.agreement import AgreementTerms  # noqa: E402

FILE = ROOT / "schemas" / "agreements" / "terms.json"

HEAD: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "$id": "urn:ecluse:agreement:terms/1",
    "$comment": "Drawn from gateway/model/agreement.py; what it cannot say, `ecluse agreement check` does.",
}


def drawn() -> str:
    """The whole file."""
    schema = HEAD | msgspec.json.schema(AgreementTerms)
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    raise SystemExit(drawn_page.run(sys.argv[1:], FILE, drawn, lambda _: drawn()))
