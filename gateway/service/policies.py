"""The policy to look at: its documents, a rule in words in any of its versions, a decision of the log."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from gateway.errors import NotFound
from gateway.flow.ground import rests_on
from gateway.model.decision import Reason
from gateway.model.officer import Officer
from gateway.model.rows import DirectoryRow
from gateway.policy.explain import explain
from gateway.policy.expr import facts_of
from gateway.policy.rules import Policy, load_policy
from gateway.policy.words import words
from gateway.ports import ReadTx
from gateway.service import calls
from gateway.service.context import Gateway
from gateway.service.mandates import require_scope
from gateway.service.operation import note_look, require_need_to_know
from gateway.service.replays import Replays


class _Rule(msgspec.Struct, frozen=True):
    id: str
    version: int


class _Versions(msgspec.Struct, frozen=True):
    """Just enough of a policy to know which rules it has."""

    version: str
    rules: tuple[_Rule, ...]


class Policies:
    """Reads. Old versions stay in the directory, so what they decided can be explained."""

    def __init__(self, gateway: Gateway, replays: Replays) -> None:
        self._g, self._replays = gateway, replays

    async def explain(self, officer: Officer, params: calls.Explain) -> calls.Explained:
        """A rule of the policy in force, or of the version with this digest. Raises `NotFound`."""
        rows = await self._g.store.read(_policies)
        policy = self._policy(rows, params.policy)
        rule = next((rule for rule in policy.rules if rule.id == params.rule), None)
        if rule is None:
            raise NotFound("there is no rule of this id in this policy")
        reason = Reason(rule.id, rule.version, rule.effect, rule.source_kind, rule.article, rule.message_id)
        return calls.Explained(
            rule=rule.id,
            text=explain(reason, params.language),
            source_kind=rule.source_kind,
            article=rule.article,
            version=rule.version,
            scope=rule.scope,
            effect=rule.effect,
            applies=words(rule.applies, params.language),
            condition=words(rule.condition, params.language),
            facts=tuple(sorted(facts_of(rule.applies) | facts_of(rule.condition))),
            policy_sha256=policy.sha256,
            versions=tuple(_version(row, rule.id) for row in rows),
        )

    def _policy(self, rows: Sequence[DirectoryRow], sha256: str) -> Policy:
        if not sha256:
            return self._g.directory.policy
        row = next((row for row in rows if row.sha256 == sha256), None)
        if row is None:
            raise NotFound("no policy of this digest is or was in force")
        return load_policy(row.document)

    async def decided(self, officer: Officer, params: calls.ExplainEntry) -> calls.DecidedView:
        """The decision at a position of the master log, within need to know; the read is an entry (LED art. 25)."""
        gateway = self._g
        case = await self._replays.case(params.position)
        require_need_to_know(officer, case.ctx.record.kind)
        require_scope(officer, case.ctx.partner.org, (case.ctx.record.kind,))
        await note_look(gateway, officer, "", {"what": "decision", "entry": params.position})
        return calls.DecidedView(
            case.id,
            case.ctx.partner.org,
            case.decision.effect,
            case.policy_sha256,
            case.decision.reasons,
            case.decision.fields,
            rests_on(case.ctx, case.decision),
        )

    async def show(self, officer: Officer, params: calls.Empty) -> calls.PolicyView:
        """The documents in force: what a candidate starts from, and what a proof is about."""
        rows = await self._g.store.read(
            lambda tx: [_current(tx, kind, "release") for kind in ("policy", "settings")]
        )
        return calls.PolicyView(*rows)

    async def before(self, officer: Officer, params: calls.Before) -> calls.BeforeView:
        """What a change would replace: its digest stands in the statement that the change's officers sign."""
        return calls.BeforeView(await self._g.store.read(lambda tx: _current(tx, params.kind, params.target)))


def _policies(tx: ReadTx) -> list[DirectoryRow]:
    rows = tx.select(DirectoryRow, {"kind": "policy"})
    return sorted(rows, key=lambda row: row.version)


def _current(tx: ReadTx, kind: str, target: str) -> bytes:
    rows = tx.select(DirectoryRow, {"kind": kind, "id": target, "current": True})
    return max(rows, key=lambda row: row.version).document if rows else b""


def _version(row: DirectoryRow, rule: str) -> calls.PolicyVersion:
    policy = msgspec.json.decode(row.document, type=_Versions)
    found = next((one.version for one in policy.rules if one.id == rule), 0)
    return calls.PolicyVersion(row.sha256, policy.version, row.since, found)
