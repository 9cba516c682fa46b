"""`ecluse bench --against cedarpy`: the release decision beside Cedar's, over the same drawn cases.

Two phases. First every case is decided by both and the answers are compared. Then some of them are timed, in rounds
that interleave three sides: ours from the record to the reasons; cedarpy from the same record on, its policies parsed
before; and cedarpy with all it is told written and ready, so that nothing but its own calls is timed. Ratios are
printed only when not one answer differs.
"""

from __future__ import annotations

import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import version
from typing import Any

from gateway.cli.bench.cases import FIELDS, cases
from gateway.cli.bench.cedar import Cedar, Decided
from gateway.cli.shared import DONE, NEGATIVE, Answer, table
from gateway.errors import RequestInvalid
from gateway.policy.context import Context
from gateway.policy.decide import decide
from gateway.policy.rules import Policy, default_policy

#: Bounds of one run: cases, rounds. A case takes some ten milliseconds, most of them Cedar's.
MOST_CASES, MOST_ROUNDS = 100_000, 50

#: Cases that are timed in each round, spread over all that were compared.
TIMED = 100

#: Cases of either effect without which equal answers prove little: one in ten.
LEAST_SHARE = 0.1

SEED = 20261121

#: What is timed, and what it says.
SIDES = {
    "ours": "from the record to effect, reasons and obligations",
    "cedarpy": "from the same record: facts, requests, two calls; policies parsed before",
    "cedarpy_ready": "its two calls alone: facts computed and written before",
}


def measured_against(peer: str, count: int, rounds: int) -> Answer:
    """Compare and measure; exit code 1 when an answer differs. Raises `RequestInvalid` for a peer or a size unknown
    here, `ConfigInvalid` where the peer is not installed."""
    if peer != "cedarpy":
        raise RequestInvalid("there is no such peer to measure against", diagnostic={"field": "against"})
    if not (0 < count <= MOST_CASES and 0 < rounds <= MOST_ROUNDS):
        raise RequestInvalid(
            "a run takes 1 to 100000 cases and 1 to 50 rounds", diagnostic={"field": "cases, rounds"}
        )
    policy = default_policy()
    cedar = Cedar(policy)
    said, timed = compare(policy, cedar, cases(SEED, 2 * count), wanted=count, step=max(1, count // TIMED))
    failed = failures(said)
    took = [_round(policy, cedar, timed) for _ in range(rounds)]
    document = _document(said, failed, took, len(timed))
    return Answer(document, _people(document), NEGATIVE if failed else DONE)


def compare(
    policy: Policy, cedar: Cedar, drawn: Iterable[Context], *, wanted: int = MOST_CASES, step: int = 1
) -> tuple[Counter[str], list[Context]]:
    """What both said of ``wanted`` cases that both can express, counted, and each ``step``-th of them."""
    said: Counter[str] = Counter(PERMIT=0, DENY=0, REVIEW=0, differ=0, not_expressible=0, fields=0)
    kept: list[Context] = []
    releasing = {each.rule.id for each in policy.release_rules}
    for ctx in drawn:
        if said["PERMIT"] + said["DENY"] == wanted:
            break
        decision = decide(policy, ctx)
        if decision.effect == "REVIEW" or not cedar.expresses(ctx):
            said["not_expressible"] += 1
            continue
        said[decision.effect] += 1
        said["fields"] += len(decision.fields)
        permitted = decision.effect == "PERMIT"
        ours = Decided(
            decision.released if permitted else (),
            frozenset()
            if permitted
            else frozenset(each.rule for each in decision.reasons if each.rule in releasing),
        )
        said["differ"] += cedar.decide(ctx) != ours
        if (said["PERMIT"] + said["DENY"]) % step == 0:
            kept.append(ctx)
    return said, kept


def failures(said: Counter[str]) -> list[str]:
    """Why the figures are not to be believed, one sentence each."""
    compared = said["PERMIT"] + said["DENY"]
    found = []
    if said["differ"]:
        found.append(f"{said['differ']} answer(s) differ")
    if min(said["PERMIT"], said["DENY"]) < LEAST_SHARE * compared:
        found.append("the cases are nearly all permitted or nearly all denied")
    if not compared or said["fields"] != FIELDS * compared:
        found.append("a record does not have thirty fields")
    return found


def _round(policy: Policy, cedar: Cedar, timed: Sequence[Context]) -> dict[str, float]:
    """Processor microseconds a decision, of each side in turn, over the same cases."""
    prepared = [cedar.prepare(ctx) for ctx in timed]
    after = [cedar.after(one, ctx, cedar.fields(one)) for ctx, one in zip(timed, prepared, strict=True)]
    ready = [*zip(prepared, after, strict=True)]
    return {
        "ours": _cpu(lambda ctx: decide(policy, ctx), timed),
        "cedarpy": _cpu(cedar.decide, timed),
        "cedarpy_ready": _cpu(lambda one: (cedar.fields(one[0]), cedar.release(one[1])), ready),
    }


def _cpu(work: Callable[[Any], object], cases: Sequence[Any]) -> float:
    begun = time.process_time()
    for case in cases:
        work(case)
    return (time.process_time() - begun) / len(cases) * 1e6


def _document(
    said: Counter[str], failed: Sequence[str], took: Sequence[dict[str, float]], timed: int
) -> dict[str, Any]:
    median = {side: statistics.median(one[side] for one in took) for side in SIDES}
    ours = median["ours"]
    return {
        "guards": {"hold": not failed, "failed": list(failed), **said},
        "against": f"cedarpy {version('cedarpy')}",
        "rounds": len(took),
        "cases_timed": timed,
        "cpu_us_per_decision": {side: round(value, 1) for side, value in median.items()},
        "ratios": None
        if failed
        else {
            "complete": round(median["cedarpy"] / ours, 1),
            "calls_alone": round(median["cedarpy_ready"] / ours, 1),
        },
    }


def _people(document: dict[str, Any]) -> list[Any]:
    guards, ratios = document["guards"], document["ratios"]
    measured = [(side, f"{document['cpu_us_per_decision'][side]} us", SIDES[side]) for side in SIDES]
    title = (
        f"{guards['PERMIT']} permits and {guards['DENY']} denials of {FIELDS} fields, {guards['differ']} answers "
        f"differ; {document['rounds']} rounds of {document['cases_timed']}; medians of processor time a decision"
    )
    pieces: list[Any] = [table(("measured", "figure", ""), measured, title=title)]
    if ratios is None:
        return [*pieces, *(f"not to be believed: {sentence}" for sentence in guards["failed"])]
    told = [
        ("complete", ratios["complete"], f"{document['against']} over ours, from the record on"),
        ("calls_alone", ratios["calls_alone"], "the same, all its facts ready and ours not"),
    ]
    return [*pieces, table(("ratio", "value", ""), told)]
