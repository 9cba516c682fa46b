"""`--case` of `ecluse disclose` and `approve`: many records to one partner, reviewed as one."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gateway.cli.release import Bound, decision_of, denials, sign_prepared
from gateway.cli.shared import BYTES_DIFFER, DONE, NEGATIVE, Acting, Answer, read_file, table
from gateway.errors import LocalFault, RequestInvalid

if TYPE_CHECKING:
    from rich.console import RenderableType

    from gateway.model.decision import FieldOutcome
    from gateway.service.calls.cases import CaseView


async def disclose_case(
    on: Acting, case: str, records: Sequence[str], partners: Sequence[str], why: tuple[str, str, str]
) -> Answer:
    """Prepare every record of a case, and sign all statements at once; an approver reviews the whole.

    Exit code 1 when a record is denied: it is not in the case, and the others are.
    """
    from gateway.service.calls import DecisionView
    from gateway.service.calls.cases import PrepareCase

    if len(partners) != 1:
        raise RequestInvalid("a case goes to one partner", diagnostic={"field": "to"})
    names = tuple(dict.fromkeys(name for record in records for name in _listed(record)))
    params = PrepareCase(case, names, partners[0], *why)
    views: list[DecisionView] = await on.desk.call("cases/prepare", params, list[DecisionView], once=True)
    if len(views) != len(names):
        raise LocalFault("the gateway answered for other records: nothing was signed", code=BYTES_DIFFER)
    prepared, _ = await sign_prepared(on, views)
    document = {
        "case": case,
        "partner": partners[0],
        "releases": [{"record": name, **decision_of(view)} for name, view in zip(names, views, strict=True)],
        "waiting": len(prepared),
        "denied": [name for name, view in zip(names, views, strict=True) if not view.release],
    }
    text: list[RenderableType] = [
        f"case {case} to {partners[0]}: {len(prepared)} of {len(views)} records await approval",
        members_table([view.fields for view in prepared]),
    ]
    for name, view in zip(names, views, strict=True):
        if not view.release:
            text += [name, *denials([view])]
    return Answer(document, text, DONE if len(prepared) == len(views) else NEGATIVE)


def _listed(record: str) -> list[str]:
    """A name; or those of a file, one a line."""
    if not record.startswith("@"):
        return [record]
    try:
        lines = read_file(Path(record[1:])).decode().splitlines()
    except UnicodeDecodeError:
        raise RequestInvalid("the file is not text", diagnostic={"file": record[1:]}) from None
    return [line.strip() for line in lines if line.strip()]


async def shown_case(on: Acting, case: str) -> "CaseView":
    """What waits of a case. Raises `RequestInvalid` when nothing does."""
    from gateway.service.calls import Named
    from gateway.service.calls.cases import CaseView

    view: CaseView = await on.desk.call("cases/show", Named(case), CaseView)
    if not view.releases:
        raise RequestInvalid("nothing of this case awaits approval", diagnostic={"field": "case"})
    return view


def whole_case(view: "CaseView", checked: Sequence[Bound]) -> "list[RenderableType]":
    """The whole before one signature: what leaves is counted here, from the bytes that the statements bind; what the
    partner would hold is the gateway's word, which asks again for each when it is signed."""
    document = case_document(view, checked)
    head = f"case {view.case}: {len(checked)} releases to {', '.join(document['partners'])}"
    held = f"persons held afterwards: {view.persons}"
    if view.compilation:
        held += f"; beyond {view.compilation} the whole is {view.compilation_level}"
    if document["compilation_reached"]:
        held += ": REACHED"
    bulk = (
        f"in {view.days} days: {view.within} of at most {view.quota}"
        if view.quota
        else "no bulk term applies"
    )
    if document["over_quota"]:
        bulk += ": OVER THE QUOTA, the last ones will be voided"
    return [
        f"{head}, {document['bytes']} bytes; states {_states(view)}",
        members_table([record.fields for one in checked for record in one.document.records]),
        held,
        bulk,
    ]


def case_document(view: "CaseView", checked: Sequence[Bound]) -> dict[str, Any]:
    """The same for machines."""
    return {
        "name": view.case,
        "releases": len(checked),
        "partners": sorted({one.document.partner for one in checked}),
        "bytes": sum(len(one.view.payload) for one in checked),
        "persons": view.persons,
        "compilation": view.compilation,
        "compilation_level": view.compilation_level,
        "compilation_reached": bool(view.compilation) and view.persons > view.compilation,
        "within": view.within,
        "quota": view.quota,
        "days": view.days,
        "over_quota": bool(view.quota) and view.within > view.quota,
    }


def members_table(records: "Sequence[Sequence[FieldOutcome]]") -> "RenderableType":
    """Of how many records each member leaves, and is withheld, in whole or in part."""
    leaving: Counter[str] = Counter()
    staying: Counter[str] = Counter()
    for fields in records:
        leaving.update({field.pointer.split("/")[1] for field in fields if field.outcome == "released"})
        staying.update({field.pointer.split("/")[1] for field in fields if field.outcome == "withheld"})
    rows = [(name, leaving[name], staying[name]) for name in sorted({*leaving, *staying})]
    return table(("member", "leaves of", "withheld of"), rows)


def _states(view: "CaseView") -> str:
    return ", ".join(f"{count} {state}" for state, count in view.states.items())
