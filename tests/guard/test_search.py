"""Withheld values in free text: found in each of their forms, and not where they stand by right."""

import dataclasses
from typing import Any

import pytest

from gateway.errors import GuardRefused
from gateway.guard import GuardVerdict
from tests.guard.worlds import World, encode, payload_tree


def ask(conditions: str, *, world: World | None = None) -> GuardVerdict:
    """A release whose record says ``conditions`` in its own words, and bytes that say the same."""
    world, tree = world or World(), payload_tree()
    for holder in (world.contents[0], tree["records"][0]):
        holder["detention_release"] = holder["detention_release"] | {"conditions": conditions}
    return world.guard(encode(tree))


def rule_of(conditions: str, *, world: World | None = None) -> str:
    with pytest.raises(GuardRefused) as caught:
        ask(conditions, world=world)
    assert not caught.value.diagnostic.keys() - {"rule", "subject"}
    return str(caught.value.diagnostic["rule"])


@pytest.mark.parametrize(
    "conditions",
    [
        "number 90.03.05-000.11 on file",
        "number 90030500011",
        "number 90 03 05 000 11",
        "number ９００３０５０００１１",
        "number ٩٠٠٣٠٥٠٠٠١١",
        "number 9-0-0-3-0-5-0-0-0-1-1",
        "number 90 03 05, and then 000 11",
        "calls +32 000 12 34 56",
        "calls 32/000.12.34.56",
        "lives in Nulleville",
        "lives in NULLEVILLE",
        "lives in Nullevílle",
        "lives in Nulle\u200bville",
        "lives in N u l l e v i l l e",
        "Rue Imaginee 12",
        "rue-imaginée-12",
        "also Qwxarn Vultreb",
        "also QWXARN\nVULTREB",
        "has quuxitis",
        "child: Pimprun  ZZEMO",
        "there since 2024-02-03",
        "there since 2024/2/3",
        "there since 3/2/2024",
        "there since 03.02.2024",
        "there since 3-2-24",
        "there since 03.02.24",
        "there since 2/3/2024",
        "there since 03022024",
        "validated 15.01.2026",
        "his friend is in Brumeport",
        "seen at the quay",
    ],
)
def test_a_withheld_value_is_found(conditions: str) -> None:
    """In another case, form, script of digits, order of a date, or from another record of the same release."""
    assert rule_of(conditions) == "withheld-value-in-text"


@pytest.mark.parametrize(
    "conditions",
    [
        "nothing to say",
        "",
        "born in Fictiville, says Zzemo",  # released beside it
        "passport XX0000001",  # released beside it
        "valid until 2027-04-01",  # released beside it
        "an alias, validated, by telephone, an associate",  # codes of closed vocabularies
        "reports on 4.2.2024",  # another day
        "in 2024",  # the year alone
        "house 12, BEL",  # too short to tell
        "null evil",  # shares letters only
    ],
)
def test_what_tells_nothing_passes(conditions: str) -> None:
    """Values that stand in the message by right, codes, and mere likeness are no hit."""
    assert isinstance(ask(conditions), GuardVerdict)


def test_two_aliases_of_one_spelling_pass() -> None:
    """A name that is released from one source and withheld from another stands there by right."""
    world, tree = World(), payload_tree()
    world.contents[0]["names"][1]["text"] = world.contents[0]["names"][2]["text"]
    assert isinstance(world.guard(encode(tree)), GuardVerdict)


def test_two_aliases_of_one_spelling_pass_wherever_they_stand_in_their_list() -> None:
    """Also when the one that leaves has another number in the record than the one that stays."""
    world, tree = World(), payload_tree()
    world.contents[0]["names"][2]["text"] = world.contents[0]["names"][1]["text"]
    world.released[0][world.released[0].index("/names/2")] = "/names/1"
    world.labels[0]["/names/1"] = world.labels[0].pop("/names/2")
    tree["records"][0]["names"][1] = dict(sorted(world.contents[0]["names"][1].items()))
    assert isinstance(world.guard(encode(tree)), GuardVerdict)


def test_a_text_that_leaves_with_one_record_and_stays_with_another_passes() -> None:
    """The same words in the same member of two records stand in the message by right, in a list or not."""
    world = World()
    world.contents[1]["detention_release"] = {"conditions": "reports on Mondays", "date": "2026-09-02"}
    assert isinstance(ask("reports on Mondays", world=world), GuardVerdict)


def test_a_value_that_leaves_elsewhere_stands_by_right() -> None:
    """What is withheld in one field and the whole of another that leaves may stand in a text; a part of it may not."""
    world = World()
    world.contents[0]["addresses"][0]["city"] = "Fictiville"
    assert isinstance(ask("lives in Fictiville", world=world), GuardVerdict)
    world.contents[0]["addresses"][0]["city"] = "Fictivil"
    assert rule_of("lives in Fictiville", world=world) == "withheld-value-in-text"


def test_only_texts_are_searched() -> None:
    """A withheld word that is a part of a released name or place is chance: no person wrote it down there."""
    world = World()
    world.contents[0]["health"] = {"text": "Zzem"}
    assert isinstance(ask("nothing", world=world), GuardVerdict)


def test_a_note_that_is_a_withheld_value_is_found() -> None:
    """To be the whole of a free text gives a withheld value of another place no right to stand there."""
    assert rule_of("90.03.05-000.11") == "withheld-value-in-text"


@pytest.mark.parametrize("conditions", ["see BDC-000002", "see bdc 000002", "see BDC000002", "BDC-000001"])
def test_a_local_id_in_a_text_is_found(conditions: str) -> None:
    """The local id of any record of the release is refused, in any string."""
    assert rule_of(conditions) == "entity-id"


def test_a_local_id_in_any_field_is_found() -> None:
    """Even where it is a released value: a document number that is the entity id does not leave."""
    world = dataclasses.replace(World(), entity_ids=("XX0000001", "BDC-000002"))
    assert rule_of("nothing", world=world) == "entity-id"


def test_a_released_link_never_names_its_target() -> None:
    """Where a kind keeps local ids, none leaves, whatever was decided and whomever it names."""
    world, tree = World(), payload_tree()
    world.contents[1]["links"][0] = {"other": "BDC-000777", "type": "associate"}
    world.released[1].append("/links/0")
    tree["records"][1]["links"] = [{"other": "BDC-000777", "type": "associate"}]
    with pytest.raises(GuardRefused) as caught:
        world.guard(encode(tree))
    assert caught.value.diagnostic["rule"] == "entity-id"


def test_a_withheld_month_is_found() -> None:
    """A date as precise as a month is sought as such, and a year alone as its digits."""
    world = World()
    world.contents[0]["addresses"][0]["from"] = "2024-02"
    assert rule_of("since 2/2024", world=world) == "withheld-value-in-text"
    assert rule_of("since 02 2024", world=world) == "withheld-value-in-text"
    assert isinstance(ask("since 3/2024", world=world), GuardVerdict)


@pytest.mark.parametrize(
    "conditions",
    [
        "number 85.07.30-033.28",
        "number 85073003328",
        "number ８５ ０７ ３０ ０３３ ２８",
        "RRN85073003328",
        "BIS 85.27.30-033.71",
        "BIS 854730-033-17",
        "born 2001: 01.07.30-033.39",
        "account BE68 5390 0754 7034",
        "account BE68539007547034",
    ],
)
def test_a_register_number_is_found(conditions: str) -> None:
    """Of anybody, released or withheld or neither: its check digits say what it is."""
    assert rule_of(conditions) == "register-number-in-text"


@pytest.mark.parametrize("conditions", ["number 85.07.30-033.27", "BE68 5390 0754 7035", "+32 475 12 34 56"])
def test_other_digits_are_no_register_number(conditions: str) -> None:
    """Without the right check digits a number is a number."""
    assert isinstance(ask(conditions), GuardVerdict)


@pytest.mark.parametrize(
    ("member", "value", "passes"),
    [
        ("documents", [{"issuer": "BEL", "number": "85073003328", "type": "passport"}], True),
        ("category", {"code": "85073003328", "criterion": "a"}, True),
        ("sex", "85.07.30-033.28", True),
        ("description", {"eyes": "85073003328", "height_cm": 178}, False),  # class B
        ("documents", [{"issuer": "BEL", "number": "01073003339", "type": "passport"}], False),
        ("documents", [{"issuer": "BEL", "note": "85073003328", "type": "passport"}], False),  # a text itself
    ],
)
def test_a_register_number_that_leaves_as_data_passes(member: str, value: Any, passes: bool) -> None:
    """As class A it may leave by its kind, and so stand in a text: this one, and not because a text says it too."""
    world, tree = World(), payload_tree()
    for holder in (world.contents[0], tree["records"][0]):
        holder[member] = value
        holder["detention_release"] = holder["detention_release"] | {"conditions": "has 85.07.30-033.28"}
    if passes:
        assert isinstance(world.guard(encode(tree)), GuardVerdict)
        return
    with pytest.raises(GuardRefused) as caught:
        world.guard(encode(tree))
    assert caught.value.diagnostic == {"rule": "register-number-in-text", "subject": "payload"}


@pytest.mark.parametrize(
    ("withheld", "text", "found"),
    [
        ("Quux", "the Quux", True),
        ("Quu", "the Quu", False),  # three characters
        ("quuxquux", "quux quux", True),
        ("quuxquu", "quux quu", False),  # seven letters across a border
        ("123456", "12 and 34 and 56", True),
        ("12345", "12 and 34 and 5", False),  # five digits
        ("1234567x", "123 and 4567", False),  # digits of a value that has letters
        ("Straße", "STRASSE", True),
        ("سلام", "سـلام", True),  # a stroke that lengthens the word
        ("Nemo", "N\u0323emo", True),  # a mark below
        ("Nemo", "Ne\u00admo", True),  # a soft hyphen
        ("2000-02-03", "since 3.2.00", True),
        ("2000-02", "since 2/00", False),  # a month needs its year in full
        ("2010-12-31", "since 31/12/10", True),
        ("2010-12-31", "since 12/31/10", True),
        ("2010-12-31", "since 10-12-31", True),
        ("2010-12-31", "since 2010 12 31", True),
        ("2010-12-31", "since 12 31 2010", True),
        ("2010-12-31", "flat 131/12/10", False),  # other numbers end and begin alike
        ("2010-12-31", "flat 31/12/101", False),
        ("2010-12", "since 12.2010", True),
        ("2010-12", "since 2010.12", True),
        ("2010-02", "since 2010.2", True),
        ("1990-12-31", "since 31/12/90", True),
        ("2010-12", "reference 122010", True),
        ("2010-12", "reference 312010", False),
        ("2010-12-31", "reference 31122010", True),
        ("2010-12-31", "reference 122010", False),  # a month of many days
        ("2010-12-31x", "since 31/12/10", False),  # begins as a date does and is none
        ("2010-12-31", "31/12/10", True),  # all that the text says
        ("2024-02-03", "form q3 2 2024", False),  # a letter is no zero
    ],
)
def test_how_much_likeness_is_a_hit(withheld: str, text: str, found: bool) -> None:
    """Short values and shared letters are chance; marks, strokes, case and the ways to write a date are not."""
    world = World()
    world.contents[0]["health"] = {"text": withheld}
    if found:
        assert rule_of(text, world=world) == "withheld-value-in-text"
    else:
        assert isinstance(ask(text, world=world), GuardVerdict)


def test_a_list_that_is_none_is_searched_as_it_stands() -> None:
    """What a record holds in place of a list is withheld as a whole, and sought as a whole."""
    world = World()
    world.contents[0]["addresses"] = "Nowheretown"
    assert rule_of("lives in Nowheretown", world=world) == "withheld-value-in-text"
