"""What a candidate would have decided otherwise: shown by `ecluse policy replay`, and to whoever changes a document."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from gateway.cli.shared import Acting, table
from gateway.errors import RequestInvalid

if TYPE_CHECKING:
    from rich.console import RenderableType

    from gateway.flow.replay import Cause, Ended, Replayed

#: Days of decisions that a proposal, and its approval, are measured by.
ACTIVATION_DAYS = 30

#: Pages asked for then, at most: of some hundred decisions each. The command itself knows no such limit.
ACTIVATION_PAGES = 20

#: Why a decision cannot be made again.
CAUSES: "dict[Cause, str]" = {
    "detail-erased": "what was decided on is erased, with the keys of somebody it is about",
    "record-erased": "the record is erased",
    "record-purged": "this version of the record is purged",
    "no-context": "its entry keeps nothing to decide again",
    "other-version": "its kind, levels or facts are of another version of this gateway",
    "not-by-policy": "it was refused outside the policy",
    "policy-unknown": "its policy is not kept here",
}

#: What has ended since, of decisions that are made again.
ENDED: "dict[Ended, str]" = {
    "agreement-ended": "no agreement with this partner is in force",
    "partner-left": "this partner is stopped, or in the directory no more",
}

#: Characters of a member's value in a difference; the whole document stands in the change.
SHOWN = 160


def since_of(text: str) -> datetime:
    """A day, or an instant with its zone. Raises `RequestInvalid`."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise RequestInvalid("a day is written 2026-11-21", diagnostic={"field": "since"}) from None
    return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC).replace(microsecond=0)


async def replayed(
    on: Acting, since: datetime, documents: Mapping[str, bytes], *, pages: int | None = None
) -> "tuple[Replayed, bool]":
    """Every page's findings together, and whether those were all there are."""
    from gateway.flow.replay import Replayed
    from gateway.service.calls import Replay, ReplayPage

    found, after, asked = Replayed(), -1, 0
    while pages is None or asked < pages:
        page: ReplayPage = await on.desk.call("policy/replay", Replay(since, after, **documents), ReplayPage)
        found, after, asked = found + page.replayed, page.next, asked + 1
        if after < 0:
            return found, True
    return found, False


def replay_text(found: "Replayed", complete: bool) -> "list[RenderableType]":
    """Counts, rules, and each difference; nothing that a record holds."""
    from gateway.flow.replay import rules_in

    told = f"{found.cases} decisions made again, {len(found.differences)} otherwise"
    text: list[RenderableType] = [told if complete else f"{told}; there are more: ecluse policy replay"]
    text += [f"{count} cannot be made again: {CAUSES[cause]}" for cause, count in found.causes.items()]
    text += [f"{count} made again as it was then: {ENDED[what]}" for what, count in found.ended.items()]
    if found.unreproduced:
        text.append(f"not reproduced under the documents of then: {', '.join(found.unreproduced)}")
    if found.differences:
        rows = [
            (
                one.id,
                one.partner,
                f"{one.before} → {one.after}",
                f"+{one.fields_added} -{one.fields_removed}",
                " ".join([*(f"+{rule}" for rule in one.rules_added), *(f"-{rule}" for rule in one.rules_removed)]),
            )
            for one in found.differences
        ]  # fmt: skip
        text.append(table(("decision", "partner", "effect", "fields", "rules"), rows, title="otherwise"))
        counts = rules_in(found.differences)
        text.append(table(("rule", "differences"), list(counts.items()), title="rules"))
    return text


async def activation(
    on: Acting, kind: str, target: str, document: bytes, *, before_sha256: str
) -> "Sequence[RenderableType]":
    """What putting this document in force changes: member by member, and in the decisions of the last days.

    (1) the document before is the one that the statement names; (2) what differs; (3) the replay. Nothing for a kind
    of document that decides nothing.
    """
    from gateway.flow.change import digest
    from gateway.flow.difference import DECIDING, differences, meaning
    from gateway.service.app import now
    from gateway.service.calls import Before, BeforeView

    if kind not in DECIDING:
        return []
    # (1)
    view: BeforeView = await on.desk.call("changes/before", Before(kind, target), BeforeView)
    if view.document and digest(view.document) != before_sha256:
        return ["made against a document that is no longer in force: the gateway will refuse it"]
    # (2)
    changed = differences(kind, view.document, document)
    rows = [(one.path, meaning(kind, one.path), one.before[:SHOWN], one.after[:SHOWN]) for one in changed]
    # (3)
    since = now() - timedelta(days=ACTIVATION_DAYS)
    found, complete = await replayed(on, since, {kind: document}, pages=ACTIVATION_PAGES)
    head = f"{len(changed)} members differ; decisions of the last {ACTIVATION_DAYS} days:"
    return [
        table(("member", "what it is", "before", "after"), rows, title=f"{kind} {target}"),
        head,
        *replay_text(found, complete),
    ]
