"""What stands behind the bytes: decision, records, labels, ceiling. Each refusal has a permit beside it."""

import dataclasses
import hashlib
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
import rfc8785

from gateway.errors import GuardRefused
from gateway.guard import GuardVerdict, RefusalRule
from gateway.guard.refusal import Subject
from gateway.model.agreement import Ceiling
from gateway.model.label import ReceivingRow, SecurityLabel
from gateway.model.request import Lift
from tests.guard.worlds import (
    FIRST_RELEASED,
    KIND,
    KINDS,
    LEVELS,
    PAYLOAD,
    PLAIN,
    World,
    canonical,
    encode,
    payload_tree,
)

replace = msgspec.structs.replace


def refused(world: World, payload: bytes = encode(PAYLOAD), **given: Any) -> GuardRefused:
    with pytest.raises(GuardRefused) as caught:
        world.guard(payload, **given)
    return caught.value


def rule_of(world: World, payload: bytes = encode(PAYLOAD), **given: Any) -> str:
    return str(refused(world, payload, **given).diagnostic["rule"])


def labelled(**axes: Any) -> Callable[[World], None]:
    """The sex field under the plain label with other axes."""

    def bend(world: World) -> None:
        world.labels[0]["/sex"] = replace(PLAIN, **axes)

    return bend


def release(number: int, pointer: str) -> Callable[[World], None]:
    return lambda world: world.released[number].append(pointer)


def bend(**changes: Any) -> Callable[[World], None]:
    return lambda world: world.__dict__.update(changes)


def enveloped(**changes: str) -> Callable[[World], None]:
    return bend(envelope=replace(World().envelope, **changes))


def lift_another(world: World) -> None:
    world.released[0].append("/national_number")
    world.lifts = (Lift("/financial", "fictitious"),)


def unlabel(world: World) -> None:
    world.labels[0]["/sex"] = None


#: Toward France, RESTREINT is protected as SECRET here.
MOVED_UP = replace(LEVELS, receiving={"FRA": ReceivingRow(True, {1: 3})})


def moved_up_beside_its_own(world: World) -> None:
    """The whole bears the recipient's own level, which the ceiling reaches; only one label in it lies above."""
    ranks = {"BEL": {**LEVELS.ranks["BEL"], "CONFIDENTIEL": 2}, "FRA": {"CONFIDENTIEL": 2}}
    world.levels, world.ceiling = replace(MOVED_UP, ranks=ranks), Ceiling("BEL", "CONFIDENTIEL")
    world.labels[0]["/sex"] = replace(PLAIN, policy="FRA", level="CONFIDENTIEL")


#: Rules that refuse one record and name it.
OF_A_RECORD = {"record", "outcome", "class", "unlabelled"}

#: name, what is wrong behind the bytes, the rule that refuses it, what was being read
BEHIND_THE_BYTES: list[tuple[str, Callable[[World], None], RefusalRule, Subject]] = [
    ("class X field released", release(0, "/health"), "class", "decision"),
    ("class C field without a lift", release(0, "/national_number"), "class", "decision"),
    ("class C field, another one lifted", lift_another, "class", "decision"),
    ("released pointer that does not exist", release(0, "/names/9"), "outcome", "decision"),
    ("released list as a whole", release(0, "/names"), "outcome", "decision"),
    ("nothing released", bend(released=[[], []]), "outcome", "decision"),
    ("released field without a label", unlabel, "unlabelled", "record"),
    ("no label anywhere", bend(default_label=None), "unlabelled", "record"),
    ("level that the table does not hold", labelled(level="DIFFUSION RESTREINTE"), "level-unknown", "record"),
    ("policy that the table does not hold", labelled(policy="XXX"), "level-unknown", "record"),
    ("level above the ceiling", labelled(level="SECRET"), "above-ceiling", "record"),
    ("level above the ceiling, other policy", labelled(policy="FRA", level="SECRET"), "above-ceiling", "record"),
    ("ceiling below a released label", bend(ceiling=Ceiling("BEL", "UNCLASSIFIED")), "above-ceiling", "record"),
    ("level protected higher, beside the recipient's own", moved_up_beside_its_own, "above-ceiling", "record"),
    ("level the recipient protects above the ceiling", bend(levels=MOVED_UP), "above-ceiling", "record"),
    ("ceiling without a rank", bend(ceiling=Ceiling("BEL", "TOP")), "level-unknown", "decision"),
    ("releasable to nobody", labelled(releasable_to=()), "not-releasable", "record"),
    ("releasable to others", labelled(releasable_to=("BEL", "NLD", "fra.other")), "not-releasable", "record"),
    ("no foreign recipient", labelled(no_foreign=True), "no-foreign", "record"),
    ("embargo", labelled(embargo=True), "embargo", "record"),
    ("another purpose", labelled(purpose=("statistics",)), "purpose", "record"),
    ("no purpose", labelled(purpose=()), "purpose", "record"),
    ("other level table", bend(levels=replace(LEVELS, version="2020-01-01")), "levels-version", "decision"),
    ("other partner than addressee", bend(partner="fra.other"), "decision", "decision"),
    ("no pseudonym", bend(refs=()), "pseudonym", "record"),
    ("entity id as pseudonym", bend(refs=("BDC-000001", "BDC-000002")), "pseudonym", "record"),
    ("one entity id among pseudonyms", bend(refs=(World().refs[0], "BDC-000002")), "pseudonym", "record"),
    ("one pseudonym for two records", bend(refs=("p-" + "0" * 32,) * 2), "pseudonym", "record"),
    ("unknown kind", bend(kinds={}), "record", "record"),
    ("another kind under this name", bend(kinds={KIND: replace(KINDS[KIND], name="x/1.0")}), "record", "record"),
    ("type without an allow-list", enveloped(type="clarification"), "type", "payload"),
    ("protocol type with a decision", enveloped(type="void"), "type", "decision"),
    ("recall with a decision", enveloped(type="recall"), "type", "decision"),
    ("format without an allow-list", enveloped(format="ct-exchange-json/2.0"), "type", "payload"),
    ("message id of no form", enveloped(message_id="Quuxitis"), "protocol-form", "payload"),
    ("time of no form", enveloped(created="2026-11-21T21:00:00.5Z"), "protocol-form", "payload"),
    ("language of no form", enveloped(language="fr-quux"), "protocol-form", "payload"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("wrong", "rule", "subject"),
    [case[1:] for case in BEHIND_THE_BYTES],
    ids=[case[0] for case in BEHIND_THE_BYTES],
)
def test_what_may_not_leave_is_refused(
    wrong: Callable[[World], None], rule: RefusalRule, subject: Subject
) -> None:
    """Whatever the bytes look like: a release that may not be is refused by the rule of the table, and the refusal
    says what was being read, with the ordinal of the record and nothing else of it."""
    world = World()
    wrong(world)
    where = {"record": 0} if rule in OF_A_RECORD else {}
    assert refused(world).diagnostic == {"rule": rule, "subject": subject, **where}


def test_each_record_is_asked_and_named() -> None:
    """What is wrong with the second record is refused as that of the second."""
    for wrong, rule in (
        (release(1, "/links"), "outcome"),
        (lambda world: world.labels[1].update({"/names/0": None}), "unlabelled"),
        (lambda world: world.contents[1].update({"na/mes": "x"}), "record"),
    ):
        world = World()
        wrong(world)
        assert refused(world).diagnostic.items() >= {"rule": rule, "record": 1}.items()


# --- the near misses: what is just allowed ---------------------------------------------------------------------------


def test_a_lifted_field_of_class_c_passes() -> None:
    """A class C field leaves when the endorsed decision lifts it, and the label of the record covers it."""
    world = World(lifts=(Lift("/national_number", "fictitious"),))
    world.released[0].append("/national_number")
    tree = payload_tree()
    tree["records"][0]["national_number"] = "90.03.05-000.11"
    assert isinstance(world.guard(encode(tree)), GuardVerdict)
    assert rule_of(world) == "missing"


@pytest.mark.parametrize(
    "label",
    [
        replace(PLAIN, level="RESTREINT"),
        replace(PLAIN, releasable_to=("fra.police-demo",)),
        replace(PLAIN, purpose=("ct-prevention", "statistics")),
        replace(PLAIN, retention_until="2027-01-01"),
        replace(PLAIN, policy="FRA", level="NON CLASSIFIE"),
    ],
)
def test_a_label_just_allowed_passes(label: SecurityLabel) -> None:
    """At the ceiling, naming the recipient alone, allowing the purpose: the field leaves under its own label."""
    world, tree = World(), payload_tree()
    world.labels[0]["/sex"] = label
    tree["labels"].insert(2, {"part": "/records/0/sex", "label": msgspec.to_builtins(label)})
    for axis in ("purpose", "retention_until"):
        if getattr(label, axis) is not None:
            tree["label"][axis] = getattr(label, axis)
    assert isinstance(world.guard(encode(tree)), GuardVerdict)
    assert rule_of(world) != "levels-version"


def test_of_equally_frequent_labels_the_first_is_the_records() -> None:
    """Two fields, two labels: the first stands for the record, the second as its own entry, and not the other way."""
    world, tree = World(), payload_tree()
    other = replace(PLAIN, tlp="RED")
    world.labels[1]["/names/0"] = other
    tree["labels"].append({"part": "/records/1/names/0", "label": msgspec.to_builtins(other)})
    tree["label"]["tlp"] = "RED"
    assert isinstance(world.guard(encode(tree)), GuardVerdict)
    tree["labels"][3]["label"], tree["labels"][4] = (
        tree["labels"][4]["label"],
        {"part": "/records/1/category", "label": tree["labels"][3]["label"]},
    )
    assert rule_of(world, encode(tree)) == "altered-label"


def test_of_equal_levels_of_two_policies_the_first_names_the_whole() -> None:
    """Labels are folded in wire order: the whole is BEL UNCLASSIFIED although a field of a French level follows."""
    world, tree = World(labels=[{}, {}]), payload_tree()
    french = replace(PLAIN, policy="FRA", level="NON CLASSIFIE")
    world.labels[0]["/names/0"] = french
    tree["label"] = msgspec.to_builtins(PLAIN)
    tree["labels"][1:3] = [{"part": "/records/0/names/0", "label": msgspec.to_builtins(french)}]
    assert isinstance(world.guard(encode(tree)), GuardVerdict)


def test_a_record_of_which_nothing_is_withheld_passes() -> None:
    """Every field may be released: a whole is no more than its parts."""
    world = World()
    del world.contents[1]["links"], world.contents[1]["addresses"]
    assert isinstance(world.guard(encode(PAYLOAD)), GuardVerdict)


def test_a_list_where_the_kind_has_none_is_one_field() -> None:
    """Only the lists of the kind have items that are decided on one by one."""
    world, tree = World(), payload_tree()
    for holder in (world.contents[0], tree["records"][0]):
        holder["sex"] = ["M"]
    assert isinstance(world.guard(encode(tree)), GuardVerdict)


# --- the decision and record bytes themselves ------------------------------------------------------------------------


#: What was being read when a decision of another form was refused.
SAID_OF = {
    "syntax": "decision",
    "form": "decision",
    "duplicate-member": "decision",
    "record-digest": "record",
}


def document(**changes: Any) -> bytes:
    return rfc8785.dumps(msgspec.to_builtins(World().document()) | changes)


@pytest.mark.parametrize(
    ("decision", "rule"),
    [
        (b"", "syntax"),
        (b"{}", "form"),
        (document(effect="DENY"), "form"),
        (document(effect="REVIEW"), "form"),
        (document(v=2), "form"),
        (document(values=["Quuxitis"]), "form"),
        (document(reasons=[{"rule": "x"}]), "form"),
        (document(records=[]), "record-digest"),
        (b" " + document(), "syntax"),
        (document() + b"\n", "syntax"),
        (encode(msgspec.to_builtins(World().document())), "form"),
        (document().replace(b'"outcome":"withheld"', b'"extra":1,"outcome":"withheld"', 1), "form"),
        (document().replace(b'"language":"fr"', b'"language":"fr","language":"nl"'), "duplicate-member"),
    ],
)
def test_a_decision_of_another_form_is_refused(decision: bytes, rule: RefusalRule) -> None:
    """Only the canonical bytes of a permit are read; whatever else the bytes might mean is not guessed."""
    assert (
        refused(World(), decision=decision).diagnostic.items()
        >= {"rule": rule, "subject": SAID_OF[rule]}.items()
    )


def test_records_must_be_the_ones_decided_on() -> None:
    """Missing, further, swapped or touched record bytes are refused: the endorsement names their digests."""
    world = World()
    one, two = world.records()
    assert rule_of(world, decision=document(records=[]), records=[]) == "record-digest"
    for records in ([], [one], [one, two, two], [two, one], [one, two.replace(b"Nemokov", b"Nemokow")]):
        assert rule_of(world, records=records) == "record-digest"


def test_a_pointer_decided_twice_is_refused() -> None:
    """Withheld and released cannot both be true of one field."""
    world = World()
    decided = world.document()
    twice = (*decided.records[0].fields, replace(decided.records[0].fields[0], outcome="released"))
    decided = replace(decided, records=(replace(decided.records[0], fields=twice), decided.records[1]))
    assert rule_of(world, decision=canonical(decided)) == "outcome"


def test_a_record_of_another_kind_than_decided_is_refused() -> None:
    """The outcomes of one kind say nothing of a record of another."""
    world = World()
    decided = world.document()
    other = replace(decided.records[0], kind="travel-match/1.0")
    decided = replace(decided, records=(other, decided.records[1]))
    assert rule_of(world, decision=canonical(decided)) == "record"


def test_a_field_the_decision_forgets_is_withheld() -> None:
    """No outcome is no release: the field must not be in the bytes."""
    world = World()
    decided = world.document()
    known = tuple(field for field in decided.records[0].fields if field.pointer != "/sex")
    decided = replace(decided, records=(replace(decided.records[0], fields=known), decided.records[1]))
    tree = payload_tree()
    assert rule_of(world, decision=canonical(decided)) == "unexplained"
    del tree["records"][0]["sex"]
    assert isinstance(world.guard(encode(tree), decision=canonical(decided)), GuardVerdict)


@pytest.mark.parametrize(("member", "rule"), [("names/9", "record"), ("na~1mes", "class"), ("quux", "class")])
def test_a_member_no_kind_knows_never_leaves(member: str, rule: RefusalRule) -> None:
    """Neither under a name that looks like another field's pointer, nor under any other."""
    world = World()
    world.contents[0][member] = "Quuxitis"
    world.released[0] = [*FIRST_RELEASED, f"/{member}"]
    said = {"rule": rule, "subject": "record" if rule == "record" else "decision", "record": 0}
    assert refused(world).diagnostic == said


def test_records_of_another_form_are_refused() -> None:
    """A record that is labelled twice, no record at all, or not canonical, is refused before anything is compared."""
    world = World()
    one, two = world.records()
    tree = msgspec.json.decode(one)
    tree["labels"].append(tree["labels"][0] | {"source": "record"})
    for raw, rule in (
        (rfc8785.dumps(tree), "record"),
        (b'{"kind":"x"}', "form"),
        (encode(dict(reversed(list(msgspec.json.decode(one).items())))), "form"),
        (one.replace(b'"Zzemo"', b'"Zz\\u0065mo"'), "spelling"),
    ):
        digest = hashlib.sha256(raw).hexdigest()
        decided = world.document()
        decided = replace(
            decided, records=(replace(decided.records[0], record_sha256=digest), decided.records[1])
        )
        bent = dataclasses.replace(world)
        bent.records = lambda raw=raw: [raw, two]  # type: ignore[method-assign, misc]
        said = refused(bent, decision=canonical(decided)).diagnostic
        assert said == {"rule": rule, "subject": "record", **({"record": 0} if rule == "record" else {})}


def test_a_verdict_is_made_by_the_guard_alone() -> None:
    """Nobody else can make one, and it cannot be written down and read again."""
    verdict = World().guard(encode(PAYLOAD))
    with pytest.raises(TypeError, match="guard alone"):
        GuardVerdict(payload_sha256="0" * 64, decision_sha256="", leaves=1, passed=object())
    with pytest.raises(TypeError):
        msgspec.json.encode(verdict)
