"""Free texts as officers read them: in full, each with the label of its portion, before anything is signed."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from gateway.cli.shared import visible

if TYPE_CHECKING:
    from gateway.model.label import SecurityLabel
    from gateway.service.calls.texts import FreeText

#: Stands before each line of a text: no line of it can pass for one of ours.
MARGIN = "  | "


def of_payload(payload: bytes) -> list["FreeText"]:
    """The free texts of a payload, from its very bytes; none of what is no message."""
    from gateway.errors import PartnerFault
    from gateway.service.calls.texts import FreeText
    from gateway.wire.ct_json import CtJson
    from gateway.wire.texts import portions

    try:
        message = CtJson().parse(payload)
    except PartnerFault:
        return []
    return [FreeText(found.pointer, found.text, found.label) for found in portions(message)]


def documents(texts: Iterable["FreeText"]) -> list[dict[str, Any]]:
    """For machines: exactly as it is."""
    return [
        {"pointer": one.pointer, "label": one.label, "text": one.text, "hits": one.hits, "leaves": one.leaves}
        for one in texts
    ]


def lines(texts: Iterable["FreeText"]) -> Iterator[str]:
    """For people: what cannot be seen is spelled out."""
    for one in texts:
        where = label_line(one.label) if one.leaves else "stays inside"
        yield f"text {one.pointer} [{where}]"
        yield from (MARGIN + visible(line) for line in one.text.split("\n"))
        yield from (f"  ! {rule}" for rule in one.hits)


def label_line(label: "SecurityLabel | None") -> str:
    """A portion mark: every axis that is set."""
    import msgspec

    if label is None:
        return "unlabelled"
    axes = msgspec.to_builtins(label)
    mark = f"{axes.pop('policy')} {axes.pop('level')}"
    said = [
        f"{axis} {' '.join(value) if isinstance(value, list | tuple) else value}"
        for axis, value in axes.items()
    ]
    return visible("; ".join([mark, *said]))
