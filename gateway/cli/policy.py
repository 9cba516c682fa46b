"""`ecluse policy`: explain rules and decisions, replay old ones under other documents, prove what cannot leave."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import msgspec
import typer

from gateway.cli.replay import replay_text, replayed, since_of
from gateway.cli.shared import (
    DONE,
    NEGATIVE,
    Acting,
    Answer,
    Place,
    acting,
    group,
    local,
    named,
    read_file,
    table,
    write_file,
)
from gateway.errors import RequestInvalid

if TYPE_CHECKING:
    from rich.console import RenderableType

    from gateway.model.decision import FieldOutcome, Reason
    from gateway.policy.prove import Finding

commands = group("The release policy.")

Language = Annotated[str, typer.Option("--language", help="fr, nl, de or en")]
PolicyFile = Annotated[Path | None, typer.Option("--policy", help="Policy document.")]
SettingsFile = Annotated[Path | None, typer.Option("--settings", help="Thresholds of the policy.")]


# --- explain ---------------------------------------------------------------------------------------------------------


@acting(commands, "explain")
async def explain(
    on: Acting,
    subject: Annotated[str, typer.Argument(metavar="[RULE|RELEASE]", help="Such as bdc.recipient.")] = "",
    release: Annotated[str, typer.Option("--release", help="The decision of this release.")] = "",
    entry: Annotated[
        int | None, typer.Option("--entry", min=0, help="A decision by its position in the master log.")
    ] = None,
    record: Annotated[str, typer.Option("--record", help="What would be decided about this record.")] = "",
    to: Annotated[str, typer.Option("--to", help="With --record: partners.")] = "",
    purpose: Annotated[str, typer.Option("--purpose", help="With --record: the purpose.")] = "",
    basis: Annotated[str, typer.Option("--basis", help="With --record: legal basis.")] = "",
    policy: Annotated[str, typer.Option("--policy", help="Digest of an earlier policy, for a rule.")] = "",
    language: Language = "en",
) -> Answer:
    """Explain a rule with its source and its tree, or every reason and field of a decision, made or possible."""
    from gateway.policy.explain import require_language

    require_language(language)
    if _is_release(subject):
        subject, release = "", subject
    if sum(map(bool, (subject, release, record))) + (entry is not None) != 1:
        raise RequestInvalid("name one rule, one release, one --entry or one --record")
    if release:
        return await _release(on, release, language)
    if entry is not None:
        return await _entry(on, entry, language)
    if record:
        return await _possible(on, record, to, purpose, basis, language)
    return await _rule(on, subject, language, policy)


def _is_release(text: str) -> bool:
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False


async def _rule(on: Acting, rule: str, language: str, policy: str) -> Answer:
    from gateway.service.calls import Explain, Explained

    found: Explained = await on.desk.call("policy/explain", Explain(rule, language, policy), Explained)
    rows = [(one.name, one.rule_version or "-", one.since, one.sha256) for one in found.versions]
    text: list[RenderableType] = [
        found.text,
        f"{found.scope}, {found.effect}, version {found.version}",
        "applies:",
        *(f"  {line}" for line in found.applies),
        "when:",
        *(f"  {line}" for line in found.condition),
        table(("policy", "rule version", "in force since", "sha256"), rows),
    ]
    return Answer(found, text)


async def _release(on: Acting, release: str, language: str) -> Answer:
    from gateway.cli.release import bound
    from gateway.service.calls import Named, ReleaseView

    view: ReleaseView = await on.desk.call("releases/show", Named(release), ReleaseView)
    document = bound(view).document
    fields = [field for record in document.records for field in record.fields]
    told = {"release": release, "effect": document.effect, "policy_sha256": document.policy_sha256}
    return _decision(told, document.reasons, fields, language)


async def _entry(on: Acting, entry: int, language: str) -> Answer:
    from gateway.cli.ground import named_grounds
    from gateway.service.calls import DecidedView, ExplainEntry

    view: DecidedView = await on.desk.call("policy/decided", ExplainEntry(entry), DecidedView)
    told = {
        "id": view.id,
        "partner": view.partner,
        "effect": view.effect,
        "policy_sha256": view.policy_sha256,
        "grounds": view.grounds,
    }
    answer = _decision(told, view.reasons, view.fields, language)
    return Answer(answer.document, [*answer.text, *await named_grounds(on, view.grounds)], answer.code)


async def _possible(on: Acting, record: str, to: str, purpose: str, basis: str, language: str) -> Answer:
    from gateway.cli.shared import partners_of
    from gateway.service.calls import DecisionView, Disclose

    params = Disclose(record, partners_of(to), purpose, basis)
    views: list[DecisionView] = await on.desk.call("releases/preview", params, list[DecisionView])
    told = [
        _decision({"partner": view.partner, "effect": view.effect}, view.reasons, view.fields, language)
        for view in views
    ]
    denied = any(view.effect != "PERMIT" for view in views)
    text = [line for one in told for line in one.text]
    return Answer({"partners": [one.document for one in told]}, text, NEGATIVE if denied else DONE)


def _decision(
    told: dict[str, Any], reasons: "Iterable[Reason]", fields: "Iterable[FieldOutcome]", language: str
) -> Answer:
    from gateway.policy.explain import explain as words
    from gateway.policy.explain import explain_field

    said = [words(reason, language) for reason in reasons]
    outcomes = [
        {"pointer": field.pointer, "outcome": field.outcome, "rule": field.rule, "text": explain_field(field, language)}
        for field in fields
    ]  # fmt: skip
    rows = [(one["outcome"], one["pointer"], one["text"]) for one in outcomes]
    text: list[RenderableType] = [
        ", ".join(f"{name} {value}" for name, value in told.items()),
        *(f"  {line}" for line in said),
        table(("outcome", "field", "why"), rows),
    ]
    return Answer({**told, "reasons": said, "fields": outcomes}, text)


# --- the documents in force ------------------------------------------------------------------------------------------


@acting(commands, "show")
async def show(
    on: Acting,
    policy: Annotated[Path | None, typer.Option("--policy", help="Write the policy here.")] = None,
    settings: Annotated[Path | None, typer.Option("--settings", help="Write the thresholds here.")] = None,
) -> Answer:
    """The policy and thresholds in force: what a candidate starts from."""
    from gateway.flow.change import digest
    from gateway.service.calls import Empty, PolicyView

    view: PolicyView = await on.desk.call("policy/show", Empty(), PolicyView)
    for path, document in ((policy, view.policy), (settings, view.settings)):
        if path is not None:
            write_file(path, document)
    digests = {"policy_sha256": digest(view.policy), "settings_sha256": digest(view.settings)}
    documents = {"policy": msgspec.Raw(view.policy), "settings": msgspec.Raw(view.settings)}
    return Answer({**digests, **documents}, [f"{name} {value}" for name, value in digests.items()])


# --- replay ----------------------------------------------------------------------------------------------------------


@acting(commands, "replay")
async def replay(
    on: Acting,
    since: Annotated[str, typer.Option("--since", help="Day or instant, such as 2026-11-01.")],
    policy: PolicyFile = None,
    settings: SettingsFile = None,
    agreement: Annotated[Path | None, typer.Option("--agreement", help="Agreement, signed or not.")] = None,
) -> Answer:
    """Make every decision since a day again, under these documents; without any, under those in force.

    Shows ids, rules and counts, and nothing that a record holds. Exit code 1 when a decision comes out otherwise.
    """
    documents = {
        name: read_file(path)
        for name, path in (("policy", policy), ("settings", settings), ("agreement", agreement))
        if path is not None
    }
    found, complete = await replayed(on, since_of(since), documents)
    from gateway.flow.replay import rules_in

    document = {
        "since": since_of(since),
        "complete": complete,
        "cases": found.cases,
        "gone": found.gone,
        "causes": found.causes,
        "ended": found.ended,
        "unreproduced": found.unreproduced,
        "rules": rules_in(found.differences),
        "differences": found.differences,
    }
    otherwise = found.differences or found.unreproduced
    return Answer(document, replay_text(found, complete), NEGATIVE if otherwise else DONE)


# --- prove -----------------------------------------------------------------------------------------------------------


@local(commands, "prove")
def prove(
    place: Place,
    policy: PolicyFile = None,
    settings: SettingsFile = None,
    invariants: Annotated[Path | None, typer.Option("--invariants", help="Other invariants.")] = None,
    against: Annotated[
        Path | None, typer.Option("--against", help="Prove that nothing more leaves than under this policy.")
    ] = None,
    rules: Annotated[
        bool, typer.Option("--rules", help="Show, rule by rule, whether another one covers it.")
    ] = False,
    language: Language = "en",
) -> Answer:
    """Prove for every possible world that the invariants hold; a broken one comes with its counter-example.

    Default: the policy shipped. Needs the extra `prove`. Exit code 1 when anything is broken or undecided.
    """
    from gateway.flow.change import decode_settings
    from gateway.policy.explain import require_language
    from gateway.policy.invariants import default_invariants, load_invariants
    from gateway.policy.prove import needed, widening
    from gateway.policy.prove import prove as findings
    from gateway.policy.rules import default_policy, load_policy

    require_language(language)
    with named(policy or Path("policy")):
        decided = load_policy(read_file(policy)) if policy else default_policy()
    with named(settings or Path("settings")):
        thresholds = decode_settings(read_file(settings)) if settings else None
    with named(invariants or Path("invariants")):
        stated = load_invariants(read_file(invariants)) if invariants else default_invariants()
    found = list(findings(decided, stated, thresholds))
    if against is not None:
        with named(against):
            found.append(widening(load_policy(read_file(against)), decided, stated.facts))
    said = {one.id: one.text[language] for one in stated.invariants}
    broken = [one for one in found if one.state not in ("proven", "needs-settings")]
    document: dict[str, Any] = {"policy_sha256": decided.sha256, "findings": found}
    text: list[RenderableType] = [
        f"{one.state}: {one.id}. {said.get(one.id, '')}".rstrip(". ") for one in found
    ]
    text += [line for one in broken for line in _world(one)]
    if rules:
        each = needed(decided, stated.facts)
        document["covered"] = [one.id for one in each if one.state == "proven"]
        document["needed"] = [one.id for one in each if one.state == "broken"]
        text += [f"{len(document['needed'])} of {len(each)} rules stop something that no other rule stops"]
        text += [f"covered by others: {rule}" for rule in document["covered"]]
    return Answer(document, text, NEGATIVE if broken else DONE)


def _world(finding: "Finding") -> "Iterable[RenderableType]":
    if not finding.world:
        return []
    rows = [(one.fact, one.state if one.value is None else _told(one.value)) for one in finding.world]
    return [table(("fact", "value"), rows, title=f"{finding.id}: a field leaves where")]


def _told(value: bool | int | str | tuple[str, ...]) -> str:
    return "{" + ", ".join(value) + "}" if isinstance(value, tuple) else msgspec.json.encode(value).decode()
