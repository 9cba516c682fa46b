"""`ecluse audit find`: where a person is mentioned, for a reviewer. Shows no content; every search is an entry."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gateway.cli.shared import DONE, NEGATIVE, Acting, Answer, acting, group, read_file, table
from gateway.errors import RequestInvalid

if TYPE_CHECKING:
    from gateway.service.calls.finding import Candidate, Gap

commands = group("Find a person; a part of `ecluse audit`.")

#: What each gap means, as people read it.
GAPS = {
    "free-text": "nobody's own words are searched; texts of",
    "references": "messages that name a person by a reference only",
    "quarantined": "what was refused or could not be opened is not searched",
    "purged": "mentions dropped with records that ran out",
    "erased": "mentions dropped with an erased subject",
    "other-key": "the index was begun under another key, or other rules for names: not all of it is searched",
    "script": "letters of the question agree with no other script",
    "spelling": "a misspelling that changes a consonant, or a translation, is not met",
    "too-wide": "more mentions than are looked at agree by these keys; narrow the question",
    "searches": "reviewers' own searches are kept, and not shown",
}


@acting(commands, "find")
async def find(
    on: Acting,
    justification: Annotated[str, typer.Option("--justification", help="Why you search; stays inside.")],
    authority: Annotated[str, typer.Option("--authority", help="Reference of the file or mandate.")],
    name: Annotated[
        list[str] | None,
        typer.Option("--name", help="Name, in any order and script; repeat for other spellings."),
    ] = None,
    birth: Annotated[str, typer.Option("--birth", help="YYYY, YYYY-MM or YYYY-MM-DD.")] = "",
    about: Annotated[bool, typer.Option("--about", help="The birth date is uncertain by two years.")] = False,
    document: Annotated[
        list[str] | None, typer.Option("--document", help="Document or register number; repeatable.")
    ] = None,
    person: Annotated[
        Path | None,
        typer.Option(
            "--from", help="JSON file with names, birth, about, numbers: nothing on the command line."
        ),
    ] = None,
    after: Annotated[str, typer.Option("--after", help="Where the page before ended.")] = "",
    limit: Annotated[int, typer.Option("--limit", min=1, max=500)] = 50,
) -> Answer:
    """Find where a person is mentioned: records, releases, messages, oral records, grounds and entries.

    Spellings are met by sound across scripts, names in any order. The answer says what it cannot see. Exit code 1 when
    nobody agrees.
    """
    from gateway.service.calls.finding import FindPersons, Found

    asked: dict[str, Any] = {
        "names": name or [], "birth": birth, "about": about, "numbers": document or [],
    }  # fmt: skip
    if person is not None:
        if name or birth or about or document:
            raise RequestInvalid("name a person in the file or here, not both", diagnostic={"field": "from"})
        asked = _read(person)
    params = FindPersons(
        justification, authority, tuple(asked.get("names", ())), asked.get("birth", ""),
        asked.get("about", False), tuple(asked.get("numbers", ())), after, limit,
    )  # fmt: skip
    found: Found = await on.desk.call("persons/find", params, Found)
    text: list[Any] = [_table(one) for one in found.candidates]
    text.append(f"{len(found.candidates)} of {found.total} candidates; search {found.search}")
    if found.after:
        text.append(f"the next page: --after {found.after}")
    text += ["not seen:", *(f"  {_gap(one)}" for one in found.gaps)]
    return Answer(found, text, DONE if found.total else NEGATIVE)


def _read(path: Path) -> dict[str, Any]:
    import msgspec

    from gateway.flow.finding import Question

    try:
        question = msgspec.json.decode(read_file(path), type=Question)
    except (msgspec.MsgspecError, UnicodeError):
        raise RequestInvalid(
            "the file holds names, birth, about and numbers, and nothing else", diagnostic={"field": "from"}
        ) from None
    return {
        "names": question.names, "birth": question.birth, "about": question.about, "numbers": question.numbers,
    }  # fmt: skip


def _table(one: "Candidate") -> Any:
    reasons = ", ".join(f"{reason.code} {reason.points:+}" for reason in one.reasons)
    linked = f"; linked: {', '.join(one.linked)}" if one.linked else ""
    rows = [
        (hit.what, hit.id, hit.at.isoformat(), hit.partner, hit.type, hit.state, f"{hit.log} {hit.position}",
         " ".join(hit.agrees))
        for hit in one.hits
    ]  # fmt: skip
    columns = ("where", "id", "at", "partner", "type", "state", "log", "agrees")
    more = f"; {one.more} more places" if one.more else ""
    return table(columns, rows, title=f"{one.person}: {one.score} of 100 ({reasons}){linked}{more}")


def _gap(one: "Gap") -> str:
    count = "" if one.count is None else f": {one.count}"
    return f"{GAPS[one.code]}{count}{' (' + ', '.join(one.kinds) + ')' if one.kinds else ''}"
