"""Labels of the finished message: within the ceiling, releasable to the recipient, and exactly those of the record."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from gateway.guard.refusal import refuse
from gateway.guard.release import Release, ReleasedRecord
from gateway.model.agreement import Ceiling
from gateway.model.label import LevelTable, SecurityLabel, join, nation_of


def require_sendable(release: Release, ceiling: Ceiling, levels: LevelTable) -> SecurityLabel:
    """The label of the whole message; raises `GuardRefused` when any released field's may not leave.

    (1) the level table is the one that was decided with; (2) the ceiling has a rank; (3) each label has a rank that the
    ceiling reaches, also where the recipient protects it higher, names the recipient or its state, allows the purpose,
    and bears neither embargo nor no-foreign. The whole bears their join, the high-water mark (law 11.12.1998 art. 5),
    folded in wire order: what each label allows it allows as well.
    """
    if levels.version != release.document.levels_version:  # (1)
        raise refuse("levels-version", "the decision was made with another level table", subject="decision")
    highest = levels.rank(ceiling.policy, ceiling.level)  # (2)
    if highest is None:
        raise refuse("level-unknown", "the ceiling of the channel has no rank", subject="decision")
    # Each label once: what was joined already is not joined again to any effect.
    labels = list(dict.fromkeys(field.label for record in release.records for field in record.fields))
    whole = labels[0]
    for label in labels:  # (3)
        joined = join(whole, label, levels)
        if joined is None:
            raise refuse("level-unknown", "a label has no rank in the level table", subject="record")
        _require_one(label, release, highest, levels)
        whole = joined
    return whole


def _require_one(label: SecurityLabel, release: Release, highest: int, levels: LevelTable) -> None:
    recipient = release.document.envelope.recipient
    nation = nation_of(recipient)
    if levels.handled_at(label.policy, label.level, nation) not in range(highest + 1):
        raise refuse("above-ceiling", "a label lies above the ceiling of the channel", subject="record")
    if not label.releasable(recipient, nation):
        raise refuse("not-releasable", "a label does not name the recipient", subject="record")
    if label.no_foreign:
        raise refuse("no-foreign", "a label forbids any foreign recipient", subject="record")
    if label.embargo:
        raise refuse("embargo", "a label bears an embargo", subject="record")
    if label.purpose is not None and release.document.handling.purpose not in label.purpose:
        raise refuse("purpose", "a label does not allow the purpose of the message", subject="record")


def part_labels(records: Sequence[ReleasedRecord]) -> Iterator[dict[str, Any]]:
    """The entries that ``labels`` must hold, in wire order, so that the nearest enclosing one is each field's own.

    Per record its most frequent label (of equals the first), then each field whose label is another.
    """
    for index, record in enumerate(records):
        counts = Counter(field.label for field in record.fields)
        own = max(counts, key=counts.__getitem__)  # of equals the first met
        yield _entry(f"/records/{index}", own)
        for field in record.fields:
            if field.label != own:
                yield _entry(f"/records/{index}{field.pointer}", field.label)


def _entry(part: str, label: SecurityLabel) -> dict[str, Any]:
    return {"part": part, "label": msgspec.to_builtins(label)}
