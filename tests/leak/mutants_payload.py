"""Leaks in the content of a message: what a renderer, a redaction or a label could do wrong."""

from __future__ import annotations

import base64
import hashlib
import unicodedata
from datetime import UTC, datetime
from functools import reduce
from typing import Any

import msgspec

from gateway.model.label import SecurityLabel, join
from gateway.model.record import fields_of
from gateway.model.time import rfc3339
from tests.leak.planting import Hidden, InPayload, Mutant, in_payload

Tree = dict[str, Any]


def _first(tree: Tree) -> dict[str, Any]:
    record: dict[str, Any] = tree["records"][0]
    return record


def _everything(hidden: Hidden) -> bytes:
    return msgspec.json.encode([hidden.values(member) for member in hidden.members])


def _append(tree: Tree, text: str) -> None:
    """Put something behind one text of the first name."""
    _a_name(tree, lambda name: name + text)


def _a_name(tree: Tree, change: Any) -> None:
    """Change one text of the first name."""
    name = _first(tree)["names"][0]
    part = next(part for part in ("family", "text", "given") if part in name)
    name[part] = change(name[part])


# --- more than was released ------------------------------------------------------------------------------------------


def withheld_member(tree: Tree, hidden: Hidden) -> None:
    for value in hidden.values("national_number"):
        _first(tree)["national_number"] = value


def withheld_item(tree: Tree, hidden: Hidden) -> None:
    _first(tree)["names"] += hidden.values("names")


def withheld_link(tree: Tree, hidden: Hidden) -> None:
    if links := hidden.values("links"):
        _first(tree)["links"] = links


def health_in_a_text(tree: Tree, hidden: Hidden) -> None:
    for value in hidden.values("health"):
        _append(tree, f" {value['text'][:40]}")


def base64_in_a_text(tree: Tree, hidden: Hidden) -> None:
    for value in hidden.values("national_number"):
        _append(tree, base64.b64encode(value.encode()).decode())


def null_member(tree: Tree, hidden: Hidden) -> None:
    _first(tree).update({member: None for member in hidden.members if member not in _first(tree)})


def empty_list(tree: Tree, hidden: Hidden) -> None:
    lists = [member for member in hidden.members if isinstance(hidden.record.content[member], list)]
    _first(tree).update({member: [] for member in lists if member not in _first(tree)})


def gap_in_a_list(tree: Tree, hidden: Hidden) -> None:
    out = set(hidden.pointers)
    names = iter(_first(tree)["names"])
    _first(tree)["names"] = [
        None if f"/names/{place}" in out else next(names)
        for place in range(len(hidden.record.content["names"]))
    ]


def count_of_withheld(tree: Tree, hidden: Hidden) -> None:
    _first(tree)["withheld"] = len(hidden.pointers)


def link_count(tree: Tree, hidden: Hidden) -> None:
    _first(tree)["links"] = len(hidden.record.content.get("links", ()))


def derived_age(tree: Tree, hidden: Hidden) -> None:
    years = [int(birth["date"][:4]) for birth in hidden.record.content["birth"]]
    _first(tree)["age"] = hidden.ctx.now.year - min(years)


def date_in_another_form(tree: Tree, hidden: Hidden) -> None:
    for value in hidden.values("threat") + hidden.values("measures"):
        when = value.get("date") or value.get("from")
        _append(tree, f" {'/'.join(reversed(when.split('-')))}")


def photo_as_an_attachment(tree: Tree, hidden: Hidden) -> None:
    tree["manifest"]["attachments"] = [{"name": value["sha256"]} for value in hidden.values("photos")]


def caveat_about_sources(tree: Tree, hidden: Hidden) -> None:
    originators = {field.originator for field in fields_of(hidden.record, hidden.ctx.kind)}
    tree["label"]["originators"] = sorted({*tree["label"].get("originators", ()), *originators})


# --- the same, spelled otherwise -------------------------------------------------------------------------------------


def decomposed_letters(tree: Tree, hidden: Hidden) -> object:
    raw = msgspec.json.encode(tree).decode()
    return (unicodedata.normalize("NFD", raw) if hidden.number & 1 else raw).encode()


def json_escape(tree: Tree, hidden: Hidden) -> object:
    raw = msgspec.json.encode(tree)
    return raw.replace(b"Zqanar", b"\\u005aqanar", 1) if hidden.values("national_number") else raw


def look_alike_letter(tree: Tree, hidden: Hidden) -> None:
    if hidden.number & 1:
        _a_name(tree, lambda text: text.replace("a", "а"))


def zero_width_mark(tree: Tree, hidden: Hidden) -> None:
    if hidden.values("health"):
        _a_name(tree, lambda text: text + "\u200b")


def trailing_blanks(tree: Tree, hidden: Hidden) -> None:
    _a_name(tree, lambda text: text + " " * (len(hidden.pointers) % 5))


def number_with_a_point(tree: Tree, hidden: Hidden) -> None:
    if "info_grade" in _first(tree) and hidden.number & 1:
        _first(tree)["info_grade"] = float(_first(tree)["info_grade"])


def white_space(tree: Tree, hidden: Hidden) -> object:
    return msgspec.json.encode(tree) + b" " * (hidden.number % 4)


def order_of_members(tree: Tree, hidden: Hidden) -> None:
    if hidden.number & 1:
        members = list(_first(tree).items())
        _first(tree).clear()
        _first(tree).update(reversed(members))


def order_of_items(tree: Tree, hidden: Hidden) -> None:
    _first(tree)["names"].sort(key=lambda name: hashlib.sha256(str((name, hidden.number)).encode()).digest())


# --- identifiers, envelope, labels -----------------------------------------------------------------------------------


def hash_as_reference(tree: Tree, hidden: Hidden) -> None:
    _first(tree)["ref"] = f"p-{hashlib.sha256(_everything(hidden)).hexdigest()[:32]}"


def hash_of_a_number_as_reference(tree: Tree, hidden: Hidden) -> None:
    for value in hidden.values("national_number"):
        _first(tree)["ref"] = f"p-{hashlib.md5(value.encode(), usedforsecurity=False).hexdigest()}"


def base64_as_reference(tree: Tree, hidden: Hidden) -> None:
    for value in hidden.values("contacts"):
        _first(tree)["ref"] = f"p-{base64.b64encode(value['value'].encode()).decode()}"


def entity_id_as_reference(tree: Tree, hidden: Hidden) -> None:
    _first(tree)["ref"] = hidden.record.entity_id


def created_with_an_offset(tree: Tree, hidden: Hidden) -> None:
    moment = datetime.fromtimestamp(hidden.ctx.now.timestamp() + len(hidden.pointers), UTC)
    tree["created"] = rfc3339(moment)


def created_with_parts_of_a_second(tree: Tree, hidden: Hidden) -> None:
    tree["created"] = tree["created"].replace("Z", f".{hidden.number % 1000:03d}Z")


def language_by_nationality(tree: Tree, hidden: Hidden) -> None:
    if "NLD" in hidden.record.content.get("nationalities", ()):
        tree["language"] = "nl"


def retention_by_withheld(tree: Tree, hidden: Hidden) -> None:
    days = [entry.label.retention_until for entry in hidden.record.labels if entry.label is not None]
    tree["handling"]["retention_until"] = min([tree["handling"]["retention_until"], *filter(None, days)])


def legal_basis_by_withheld(tree: Tree, hidden: Hidden) -> None:
    if "special" in hidden.members:
        tree["handling"]["legal_basis"] += "+led-10"


def label_joined_before_redaction(tree: Tree, hidden: Hidden) -> None:
    labels = [entry.label for entry in hidden.record.labels if entry.label is not None]
    first: SecurityLabel | None = labels[0]
    whole = reduce(lambda mark, label: mark and join(mark, label, hidden.ctx.levels), labels[1:], first)
    tree["label"] = msgspec.to_builtins(whole)


def usual_label_before_redaction(tree: Tree, hidden: Hidden) -> None:
    labels = [entry.label for entry in hidden.record.labels if entry.label is not None]
    tree["labels"][0]["label"] = msgspec.to_builtins(min(labels, key=str))


def label_of_a_withheld_part(tree: Tree, hidden: Hidden) -> None:
    usual = tree["labels"][0]["label"]
    tree["labels"] += [{"part": f"/records/0{pointer}", "label": usual} for pointer in hidden.pointers]


def part_by_position(tree: Tree, hidden: Hidden) -> None:
    """Labels of items keep the position that the item had in the record."""
    kept = [pointer for pointer in hidden.decision.released if pointer.startswith("/names/")]
    for entry in tree["labels"]:
        if entry["part"].startswith("/records/0/names/"):
            entry["part"] = f"/records/0{kept[int(entry['part'].rsplit('/', 1)[1])]}"


def manifest_counts(tree: Tree, hidden: Hidden) -> None:
    tree["manifest"]["fields"] = len(hidden.record.labels)


_CHANGES: dict[str, tuple[InPayload, ...]] = {
    "content": (
        withheld_member, withheld_item, withheld_link, health_in_a_text, base64_in_a_text, null_member, empty_list,
        gap_in_a_list, count_of_withheld, link_count, derived_age, date_in_another_form, photo_as_an_attachment,
        caveat_about_sources,
    ),
    "spelling": (
        decomposed_letters, json_escape, look_alike_letter, zero_width_mark, trailing_blanks, number_with_a_point,
        white_space, order_of_members, order_of_items,
    ),
    "envelope": (
        hash_as_reference, hash_of_a_number_as_reference, base64_as_reference, entity_id_as_reference,
        created_with_an_offset, created_with_parts_of_a_second, language_by_nationality, retention_by_withheld,
        legal_basis_by_withheld, label_joined_before_redaction, usual_label_before_redaction,
        label_of_a_withheld_part, part_by_position, manifest_counts,
    ),
}  # fmt: skip

MUTANTS: tuple[Mutant, ...] = tuple(
    Mutant(change.__name__.replace("_", "-"), sort, in_payload(change))
    for sort, changes in _CHANGES.items()
    for change in changes
)
