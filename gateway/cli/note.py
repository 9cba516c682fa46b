"""`ecluse note`: an officer writes an information note; it becomes a record like one from a file."""

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from gateway.cli.shared import DONE, NEGATIVE, Acting, Answer, acting, group, read_document
from gateway.errors import RequestInvalid

if TYPE_CHECKING:
    from gateway.model.label import SecurityLabel

commands = group("Information notes.")

KIND = "information-note/1.0"


@acting(commands, "new")
async def new(
    on: Acting,
    title: Annotated[str, typer.Option("--title", help="One line.")],
    fact: Annotated[list[str], typer.Option("--fact", help="What is known; repeatable.")],
    label: Annotated[Path, typer.Option("--label", help="JSON file: the label of each item given here.")],
    assessment: Annotated[
        list[str] | None, typer.Option("--assessment", help="What you make of it; repeatable.")
    ] = None,
    person: Annotated[
        list[str] | None,
        typer.Option("--person", help="ROLE:NAME:BIRTH, or ROLE:NAME:adult; repeatable."),
    ] = None,
    thing: Annotated[
        list[str] | None, typer.Option("--object", help="TYPE:VALUE, such as vehicle:0-ZZZ-000; repeatable.")
    ] = None,
    mention: Annotated[
        list[str] | None, typer.Option("--mention", help="Id of the record here of a person mentioned.")
    ] = None,
    language: Annotated[str, typer.Option("--language", help="Language of the text, such as fr.")] = "fr",
    originator: Annotated[
        str, typer.Option("--originator", help="Whom it comes from; us unless named.")
    ] = "",
    note: Annotated[str, typer.Option("--id", help="Write a note anew: NOTE- and digits.")] = "",
) -> Answer:
    """Write an information note. Each item gets the label that you give; for items with different labels, or grades,
    write a line of JSON and import it.

    The answer names the note: preview and disclose it by that id.
    """
    from gateway.model.label import SecurityLabel
    from gateway.model.time import rfc3339
    from gateway.service.app import now
    from gateway.service.calls import Empty, ImportChunk, Imported, Status

    if not originator:
        status: Status = await on.desk.call("status", Empty(), Status)
        originator = status.organisation
    mark = read_document(label, SecurityLabel)
    content: dict[str, Any] = {
        "title": title,
        "facts": [{"text": text} for text in fact],
        "assessments": [{"text": text} for text in assessment or ()],
        "persons": [_person(one) for one in person or ()],
        "objects": [_object(one) for one in thing or ()],
        "language": language,
        "originator": originator,
        "mentions": [*(mention or ())],
    }
    content = {member: value for member, value in content.items() if value}
    line = {
        "written_at": rfc3339(now()),
        "originator": originator,
        "labels": _labels(content, mark),
        "content": content,
    }
    # An id of its own for what is written here and now; it never leaves.
    written = hashlib.sha256(msgspec.json.encode(line)).hexdigest()
    line["id"] = note or f"NOTE-{int(written[:15], 16)}"
    params = ImportChunk(KIND, 1, msgspec.json.encode(line))
    landed: Imported = await on.desk.call("records/import", params, Imported, once=True)
    if landed.bad:
        wrong = landed.bad[0]
        document = {"note": "", "bad": landed.bad}
        return Answer(document, [f"not written: {wrong.pointer} {wrong.rule}: {wrong.detail}"], NEGATIVE)
    return Answer({"note": line["id"], "bad": ()}, [f"note {line['id']}"], DONE)


def _labels(content: dict[str, Any], label: "SecurityLabel") -> list[dict[str, Any]]:
    """The label that the officer gave, for each item that the officer gave."""
    pointers = [
        pointer
        for member, value in content.items()
        for pointer in (
            [f"/{member}/{index}" for index in range(len(value))]
            if isinstance(value, list)
            else [f"/{member}"]
        )
    ]
    return [{"pointer": pointer, "label": msgspec.to_builtins(label)} for pointer in pointers]


def _person(said: str) -> dict[str, Any]:
    """ROLE:NAME:BIRTH; a birth date is as precise as it is written."""
    role, _, rest = said.partition(":")
    name, colon, birth = rest.rpartition(":")
    if not (role and name and colon and birth):
        raise RequestInvalid(
            "a person is ROLE:NAME:BIRTH, or ROLE:NAME:adult", diagnostic={"field": "person"}
        )
    if birth == "adult":
        return {"role": role, "names": [name], "adult": True}
    precision = {4: "year", 7: "month", 10: "day"}.get(len(birth), "")
    return {"role": role, "names": [name], "birth": {"date": birth, "precision": precision}}


def _object(said: str) -> dict[str, Any]:
    type_, colon, value = said.partition(":")
    if not (type_ and colon and value):
        raise RequestInvalid("an object is TYPE:VALUE", diagnostic={"field": "object"})
    return {"type": type_, "value": value}
