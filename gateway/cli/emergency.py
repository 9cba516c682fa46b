"""`ecluse emergency`: what is owed after one left: confirmation, review, originators informed; listed until then."""

from collections.abc import Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.release import Bound, Reason_, Yes, agree, bound
from gateway.cli.shared import DONE, NEGATIVE, Acting, Answer, acting, group, table
from gateway.errors import RequestInvalid

if TYPE_CHECKING:
    from gateway.service.calls.emergency import EmergencyItem, ReviewOutcome

commands = group("Emergencies: what is owed after them.")

Releases = Annotated[list[str], typer.Argument(metavar="RELEASE...")]


class Verdict(StrEnum):
    """What a review finds."""

    upheld = "upheld"
    not_upheld = "not-upheld"


@acting(commands, "list")
async def list_(on: Acting) -> Answer:
    """Emergencies that wait for confirmation, review, or an originator to be informed. No content.

    Exit code 1 when one is overdue: then no further emergency leaves.
    """
    from gateway.service.calls import Page
    from gateway.service.calls.emergency import EmergencyItem

    items: list[EmergencyItem] = await on.desk.call("emergencies/list", Page(limit=500), list[EmergencyItem])
    columns = ("state", "release", "partner", "message", "asked by", "oral approval", "waived", "owed")
    rows = [
        (
            one.state,
            one.release,
            one.partner,
            one.message_state,
            one.requester,
            one.oral_approver or "-",
            ", ".join(one.waived) or "-",
            "; ".join(_owed(one)),
        )
        for one in items
    ]
    overdue = any(one.state == "overdue" for one in items)
    return Answer(
        {"emergencies": items}, [table(columns, rows, title="emergencies")], NEGATIVE if overdue else DONE
    )


def _owed(one: "EmergencyItem") -> list[str]:
    owed = []
    if one.confirm_by is not None and one.confirmed_at is None:
        owed.append(f"confirm by {one.confirm_by:%Y-%m-%dT%H:%MZ}")
    if one.reviewed_at is None:
        owed.append(f"review by {one.review_by:%Y-%m-%dT%H:%MZ}")
    owed += [f"inform {org}" for org in one.inform]
    return owed or ["the signer took not all: repeat, or another person overrules"]


@acting(commands, "confirm")
async def confirm(on: Acting, releases: Releases, yes: Yes = False) -> Answer:
    """Confirm by your own signature the releases that you approved orally.

    \b
    (1) statement, payload and decision belong together, computed here; (2) each names you as who approved orally;
    (3) the bytes are shown, and you agree; (4) one signature over all statements is sent.
    """
    from gateway.service.calls import Endorsed

    # (1)
    checked = await _bound(on, releases)
    # (2)
    for one in checked:
        if one.oral_approver != on.desk.identity.officer:
            raise RequestInvalid("this release names somebody else, or nobody, as who approved it orally")
    # (3)
    await agree(on, checked, f"Confirm {len(checked)} emergency release(s)?", yes=yes)
    # (4)
    endorsement = on.desk.endorse("approve", [one.view.statement for one in checked])
    params = Endorsed(tuple(one.view.id for one in checked), endorsement)
    done: dict[str, str] = await on.desk.call("emergencies/confirm", params, dict[str, str], once=True)
    return Answer({"confirmed": list(done)}, [f"{release}: {state}" for release, state in done.items()])


@acting(commands, "review")
async def review(
    on: Acting,
    releases: Releases,
    verdict: Annotated[Verdict, typer.Option("--verdict", help="Whether the emergency was one.")],
    reason: Reason_,
    yes: Yes = False,
) -> Answer:
    """Review emergencies in which you had no part: the bytes are shown, and one signature over all statements is sent.

    What has not left yet is void by a verdict that does not uphold; what has left can only be recalled, and the
    answer says how.
    """
    from gateway.service.calls.emergency import Reviewed, ReviewOutcome

    checked = await _bound(on, releases)
    await agree(on, checked, f"Find {len(checked)} emergency release(s) {verdict.value}?", yes=yes)
    act = "uphold" if verdict is Verdict.upheld else "overrule"
    endorsement = on.desk.endorse(act, [one.view.statement for one in checked])
    params = Reviewed(tuple(one.view.id for one in checked), verdict.value, reason, endorsement)
    outcomes: list[ReviewOutcome] = await on.desk.call(
        "emergencies/review", params, list[ReviewOutcome], once=True
    )
    return Answer({"reviewed": outcomes}, [line for one in outcomes for line in _reviewed(one)])


def _reviewed(one: "ReviewOutcome") -> list[str]:
    lines = [f"{one.release}: {one.verdict}"]
    if one.recall:
        lines.append(f"  {one.partner} may have it: ecluse recall {one.message_id} --action withdrawn")
    return lines


@acting(commands, "informed")
async def informed(
    on: Acting,
    release: Annotated[str, typer.Argument(metavar="RELEASE")],
    originator: Annotated[str, typer.Option("--originator", help="Service whose consent was waived.")],
    how: Annotated[str, typer.Option("--how", help="By whom and by which means; stays inside.")],
) -> Answer:
    """Record that an originator whose consent was waived has been informed (LED art. 35(2))."""
    from gateway.service.calls.emergency import Informed

    params = Informed(release, originator, how)
    done: dict[str, str] = await on.desk.call("emergencies/informed", params, dict[str, str], once=True)
    return Answer({"release": release, "informed": list(done)}, [f"{release}: {originator} informed"])


async def _bound(on: Acting, releases: Sequence[str]) -> list[Bound]:
    """Each release as shown, bound to its statement, and an emergency; what it was about is said on the way."""
    from gateway.service.calls import Named, ReleaseView

    checked = []
    for release in dict.fromkeys(releases):
        view: ReleaseView = await on.desk.call("releases/show", Named(release), ReleaseView)
        one = bound(view)
        if not one.threat:
            raise RequestInvalid("this release did not leave as an emergency")
        checked.append(one)
    return checked
