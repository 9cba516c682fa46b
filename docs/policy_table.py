"""Write the release policy as tables that a lawyer can read, from the files that decide.

``python docs/policy_table.py``           print them
``python docs/policy_table.py --write``   put them between the markers of ``docs/policy.md``
``python docs/policy_table.py --check``   exit 1 when the page shows another policy

What it does not do: it says what the rules are, not that they are the law; who answers for a release reads both.
"""

from __future__ import annotations

import json
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # run as a script, before the package is installed

from docs import drawn_page  # noqa: E402
from gateway.policy.explain import UNREAD, messages  # noqa: E402

PAGE = ROOT / "docs" / "policy.md"
BEGIN = "<!-- policy: written by `make docs` from schemas/policy and schemas/levels -->"
END = "<!-- end of policy -->"

#: What a lawyer reads in place of the mark.
UNVERIFIED = "**unverified, set by configuration**"

#: Operators of a condition as words between their operands, as in `gateway.policy.expr`.
BETWEEN = {
    "eq": "=",
    "ne": "≠",
    "lt": "<",
    "le": "≤",
    "gt": ">",
    "ge": "≥",
    "in": "in",
    "subset": "within",
    "intersects": "shares with",
    "all": "and",
    "any": "or",
}


def load(name: str) -> dict[str, Any]:
    """A data file as it is."""
    document: dict[str, Any] = json.loads(files("schemas").joinpath(name).read_text("utf-8"))
    return document


def words(tree: Any, *, inside: bool = False) -> str:
    """A condition as one line; what is nested stands in brackets."""
    match tree:
        case ["const", list() as items]:
            return "{" + ", ".join(items) + "}"
        case ["const", str() as text]:
            return f'"{text}"'
        case ["const", value]:
            return json.dumps(value)
        case ["fact", name]:
            return f"`{name}`"
        case ["known", ["fact", name]]:
            return f"`{name}` is known"
        case ["not", ["known", ["fact", name]]]:
            return f"`{name}` is not known"
        case ["not", operand]:
            return f"not {words(operand, inside=True)}"
        case [op, *operands]:
            text = f" {BETWEEN[op]} ".join(words(operand, inside=True) for operand in operands)
            return f"({text})" if inside and len(operands) > 1 else text
        case _:
            raise SystemExit("a condition of the policy cannot be read")


def source(text: str) -> str:
    """An article or a source, with what nobody has read in its own text called so."""
    read = text.removesuffix(UNREAD).rstrip()
    return f"{read}, {UNVERIFIED}" if read != text else read


def table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def rules() -> str:
    """Every rule of the shipped policy, in its order."""
    document = load("policy/be-1.json")
    rows = []
    for rule in document["rules"]:
        when = words(rule["condition"])
        if "applies" in rule:
            when = f"{when}; *where* {words(rule['applies'])}"
        sentence = messages()[rule["message_id"]]["en"]
        effect = rule["effect"]
        cited = f"{rule['source_kind']}: {source(rule['article'])}"
        rows.append([f"`{rule['id']}` {rule['version']}", rule["scope"], when, effect, cited, sentence])
    head = ["Rule", "Scope", "When", "Effect", "Source", "What an officer is told"]
    return f"Policy `{document['version']}`, {len(rows)} rules. {document['note']}\n\n{table(head, rows)}"


def levels() -> str:
    """How each recipient's policy protects what it receives."""
    document = load("levels/equivalence-2026-11-22.json")
    rows = [
        [f"`{policy}`{'' if row['enabled'] else ' (disabled)'}", *map(_cell, row["cells"].values())]
        for policy, row in document["receiving"].items()
    ]
    cited = [[f"`{name}`", source(text)] for name, text in document["sources"].items()]
    head = ["Recipient's policy", *(f"Rank {rank}" for rank in range(1, 5))]
    return (
        f"Equivalence table `{document['version']}`. {document['note']}\n\n{table(head, rows)}\n\n"
        f"{table(['Source', 'Text'], cited)}"
    )


def _cell(cell: dict[str, Any]) -> str:
    if "up" in cell:
        said = f"none: protected as {cell['up']}"
    else:
        said = " / ".join(cell["levels"]) if "levels" in cell else f"none: {cell['none']}"
    return f"{said} [`{cell['source']}`]"


def drawn() -> str:
    """Everything between the markers."""
    return f"## Rules\n\n{rules()}\n\n## Equivalence of levels\n\n{levels()}"


def redrawn(page: str) -> str:
    """``page`` with the present policy between its markers."""
    return drawn_page.between(page, PAGE.name, BEGIN, drawn(), END)


if __name__ == "__main__":
    raise SystemExit(drawn_page.run(sys.argv[1:], PAGE, drawn, redrawn))
