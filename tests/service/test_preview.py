"""A preview shows who would get what; its bytes are refused by everybody who could let them leave or come in."""

from __future__ import annotations

import json
from datetime import timedelta

import msgspec
import pytest

from adapters.records.synthetic import extract
from gateway.cli.preview import OWN_WIDTH, PARTNER_WIDTH, matrix
from gateway.cli.shared import terminal
from gateway.errors import GuardRefused, RequestInvalid, SchemaViolation
from gateway.flow.change import canonical
from gateway.model.decision import FieldOutcome
from gateway.model.request import Lift
from gateway.model.rows import (
    EmergencyRow,
    EntryRow,
    InboxRow,
    OutboxRow,
    QuarantineRow,
    ReleaseRow,
    ReservationRow,
)
from gateway.service import calls
from gateway.wire.container import frame
from gateway.wire.ct_json import PREVIEW, CtJson, preview_of
from tests.guard import worlds as guarded
from tests.service.commandline import Line
from tests.service.test_emergency import ORAL, configured
from tests.service.test_intake import items, on_the_way
from tests.service.world import BASIS, BE, CLEAN, FR, KIND, PERSONS, PURPOSE, World, opened, reseal
from tests.signer.world import batch, put, refusal

#: Who looks: by the rules nobody but a requester could disclose, and a preview says what the rules say.
READER = "be-only-requester"


async def previewed(world: World, *to: str) -> list[calls.DecisionView]:
    params = calls.Disclose(CLEAN[0], to or (FR,), PURPOSE, BASIS)
    views: list[calls.DecisionView] = await world.be.call(READER, "releases/preview", params)
    return views


async def test_the_bytes_are_marked(world: World) -> None:
    """Where a message has its mode they say that they are none; the rest is what the partner would get."""
    (view,) = await previewed(world)
    assert (view.effect, view.release, view.statement) == ("PERMIT", "", b"")
    shown = json.loads(view.payload)
    assert (shown["mode"], shown["to"], shown["type"]) == (PREVIEW, FR, "disclosure")
    made = await world.be.prepare(CLEAN[0])
    approved = json.loads(made.payload)
    assert shown.keys() == approved.keys()
    assert shown["records"] == approved["records"]
    assert list(shown) == list(approved)


async def test_looking_is_an_entry_and_nothing_else(world: World) -> None:
    """The master log says who looked; no release, no message, and nothing to sign."""
    before = len(world.be.rows(EntryRow))
    await previewed(world)
    entries = world.be.rows(EntryRow)
    assert len(entries) == before + 1
    last = json.loads(entries[-1].entry)
    assert (last["event"], last["actor"]) == ("read", READER)
    assert (world.be.rows(ReleaseRow), world.be.rows(OutboxRow)) == ([], [])


async def test_our_own_reader_refuses_them(world: World) -> None:
    """The format's parser knows no such mode."""
    (view,) = await previewed(world)
    with pytest.raises(SchemaViolation):
        CtJson().parse(view.payload)


async def test_intake_refuses_them(world: World) -> None:
    """Sealed by their true sender, every signature good: refused by name, quarantined, nothing accepted."""
    (message,) = opened(world, await on_the_way(world))
    marked = reseal(world, message, preview_of(message.payload))
    receipt = await world.fr.intake.accept(BE, frame([marked]))
    (item,) = items(world, receipt, opened(world, frame([marked])))
    assert (item.outcome, item.code) == ("refused", "schema-violation")
    assert world.fr.rows(InboxRow) == []
    assert [row.code for row in world.fr.rows(QuarantineRow)] == ["schema-violation"]


def test_the_guard_refuses_them() -> None:
    """The same bytes but for the mark pass; with the decision saying the same as the bytes they do not either."""
    world = guarded.World()
    payload = guarded.encode(guarded.payload_tree())
    world.guard(payload)
    for envelope in (guarded.ENVELOPE, msgspec.structs.replace(guarded.ENVELOPE, mode=PREVIEW)):
        world.envelope = envelope
        with pytest.raises(GuardRefused):
            world.guard(preview_of(payload))


def test_the_signer_refuses_them() -> None:
    """Two colluding officers approve exactly these bytes, and the log announces them: no seal."""
    assert refusal(batch()) == ""
    assert refusal(batch(payload=preview_of))
    assert refusal(batch(payload=preview_of, decision=put("envelope.mode", PREVIEW)))


async def test_a_sharing_group_stands_for_its_partners(world: World) -> None:
    """By the name that the thresholds give it; a partner named beside it is shown once."""
    before = world.be.gateway.directory.settings
    group = msgspec.structs.replace(before, sharing={"paris": (FR,)})
    await world.be.change("settings", "release", canonical(group))
    assert [view.partner for view in await previewed(world, "paris")] == [FR]
    assert [view.partner for view in await previewed(world, FR, "paris")] == [FR]


async def test_a_lift_that_unlocks_nothing_is_named(world: World) -> None:
    """In a preview and when it is prepared, with the rule; one of what no such record has is refused before anything is
    decided."""
    lifts = tuple(Lift(pointer, "synthetic") for pointer in ("/national_number", "/sex"))
    for officer, operation in ((READER, "releases/preview"), ("be-requester", "releases/prepare")):
        params = calls.Disclose(CLEAN[0], (FR,), PURPOSE, BASIS, "synthetic", lifts=lifts)
        (view,) = await world.be.call(officer, operation, params)
        assert view.effect == "PERMIT"
        assert [(one.pointer, one.rule) for one in view.idle_lifts] == [("/sex", "class.A")]
        before = len(world.be.rows(EntryRow))
        with pytest.raises(RequestInvalid) as caught:
            await world.be.call(
                officer, operation, msgspec.structs.replace(params, lifts=(Lift("/helth", "synthetic"),))
            )
        assert caught.value.diagnostic == {"field": "lifts[0].pointer"}
        assert len(world.be.rows(EntryRow)) == before


async def test_an_emergency_is_looked_at_and_not_invoked(world: World) -> None:
    """Without a scope it is denied; within one it shows what would leave, as an emergency. Nothing is kept for review,
    and nothing counts."""
    params = calls.Disclose(CLEAN[0], (FR,), PURPOSE, BASIS, emergency=ORAL)
    (view,) = await world.be.call("be-requester", "releases/preview", params)
    assert (view.effect, view.payload) == ("DENY", b"")
    await configured(world.be)
    (view,) = await world.be.call("be-requester", "releases/preview", params)
    shown = json.loads(view.payload)
    assert (view.effect, view.release, shown["mode"], shown["type"]) == ("PERMIT", "", PREVIEW, "emergency")
    rows = [world.be.rows(kind) for kind in (ReleaseRow, OutboxRow, EmergencyRow, ReservationRow)]
    assert rows == [[], [], [], []]


# --- what people see -------------------------------------------------------------------------------------------------


def views(count: int) -> list[calls.DecisionView]:
    """Decisions for so many partners, who each get one field and not the other."""
    fields = (
        FieldOutcome("/sex", "released", "class.A", 1, "house", "release policy"),
        FieldOutcome("/health", "withheld", "class.X", 1, "house", "release policy"),
    )
    return [calls.DecisionView(f"fra.partner-{number}", "PERMIT", (), fields) for number in range(count)]


@pytest.mark.parametrize(
    ("width", "tables"), [(OWN_WIDTH + 4 * PARTNER_WIDTH, 1), (OWN_WIDTH + 2 * PARTNER_WIDTH, 2), (40, 4)]
)
def test_a_matrix_fits_the_terminal(width: int, tables: int, capsys: pytest.CaptureFixture[str]) -> None:
    """Four partners side by side, or in as many tables as it takes, each with every field and its reason."""
    drawn = list(matrix(views(4), width))
    assert len(drawn) == tables
    for one in drawn:
        terminal().print(one)
        said = capsys.readouterr().out
        assert all(word in said for word in ("/sex", "/health", "class.A", "class.X"))


async def test_the_command_shows_reasons_in_a_language(line: Line) -> None:
    """A denied purpose is told in Dutch, with exit code 1; what would be decided is explained field by field; nothing
    of it is a release."""
    raw = extract(PERSONS, 1, line.world.clock.now())
    await line.world.be.call("be-requester", "records/import", calls.ImportChunk(KIND, 1, raw))
    key = line.folder / f"{READER}.pem"
    acting = ("--home", line.home, "--as", READER, "--officer-key", key)
    words = ("preview", CLEAN[0], "--to", FR, "--purpose", "no such purpose", "--basis", BASIS)
    code, said, _ = await line.said(*words, "--language", "nl", *acting)
    assert code == 1
    assert "De overeenkomst dekt" in said
    code, told = await line.run(READER, *words, "--language", "es")
    assert (code, told["error"]["code"]) == (2, "request-invalid")
    why = ("--record", CLEAN[0], "--to", FR, "--purpose", PURPOSE, "--basis", BASIS, "--language", "de")
    code, told = await line.run(READER, "policy", "explain", *why)
    (one,) = told["partners"]
    assert (code, one["partner"], one["effect"]) == (0, FR, "PERMIT")
    assert {field["outcome"] for field in one["fields"]} == {"released", "withheld"}
    assert all(field["text"] and field["rule"] in field["text"] for field in one["fields"])
    assert line.world.be.rows(ReleaseRow) == []


async def test_the_matrix_speaks_the_language(line: Line) -> None:
    """Its heads and outcomes, and what each rule in it says; a lift that unlocks nothing, too. With --emergency it is
    the emergency's: denied here, where none is configured, with 1; an oral approval of anything else is a mistake."""
    raw = extract(PERSONS, 1, line.world.clock.now())
    await line.world.be.call("be-requester", "records/import", calls.ImportChunk(KIND, 1, raw))
    acting = ("--home", line.home, "--as", READER, "--officer-key", line.folder / f"{READER}.pem")
    words = (
        "preview",
        CLEAN[0],
        "--to",
        FR,
        "--purpose",
        PURPOSE,
        "--lift",
        "/sex",
        "--lift-reason",
        "synthetic",
    )
    for language, said in {
        "fr": ("champ", "règle", "transmis", "retenu", "class.A: Classe A", "« /sex » ne débloque rien"),
        "nl": ("veld", "regel", "vrijgegeven", "achtergehouden", "class.A: Klasse A", "ontgrendelt niets"),
        "de": ("Feld", "Regel", "freigegeben", "zurückgehalten", "class.A: Klasse A", "gibt nichts frei"),
        "en": ("field", "rule", "released", "withheld", "class.A: Class A", "unlocks nothing"),
    }.items():
        code, out, _ = await line.said(*words, "--language", language, *acting)
        assert code == 0
        assert [word for word in said if word not in out] == []
        assert language == "en" or "withheld" not in out
    code, told = await line.run(READER, *words)
    assert [one["pointer"] for one in told["partners"][0]["idle_lifts"]] == ["/sex"]
    code, told = await line.run(READER, *words[:6], "--emergency", "invented")
    assert (code, told["partners"][0]["effect"]) == (1, "DENY")
    assert "emergency.scope-configured" in {reason["rule"] for reason in told["partners"][0]["reasons"]}
    code, told = await line.run(READER, *words[:6], "--oral-approval", "be-approver")
    assert (code, told["error"]["diagnostic"]) == (2, {"field": "oral-approval"})


async def test_a_rule_and_a_release_are_explained(line: Line) -> None:
    """A rule with its tree and its versions; a release by its id alone, every field with a sentence; one subject at a
    time."""
    world = line.world
    raw = extract(PERSONS, 1, world.clock.now() - timedelta(minutes=1))
    await world.be.call("be-requester", "records/import", calls.ImportChunk(KIND, 1, raw))
    code, told = await line.run(READER, "policy", "explain", "person.minor", "--language", "fr")
    assert code == 0
    assert any("person.min_age" in text for text in told["applies"])
    assert told["condition"] == ["pas lifts.person"]
    assert [one["rule_version"] for one in told["versions"]] == [told["version"]]
    view = await world.be.prepare(CLEAN[0])
    code, told = await line.run(READER, "policy", "explain", view.release)
    assert (code, told["release"]) == (0, view.release)
    assert len(told["fields"]) == len(view.fields)
    assert all(field["text"] for field in told["fields"])
    for words in ((), ("embargo", "--entry", "3"), ("--entry", "3", "--release", view.release)):
        code, told = await line.run(READER, "policy", "explain", *words)
        assert (code, told["error"]["code"]) == (2, "request-invalid")
    code, told = await line.run(
        "be-only-security-officer", "policy", "show", "--policy", line.folder / "p.json"
    )
    assert code == 0
    assert told["policy_sha256"] == world.be.gateway.directory.policy.sha256
    code, told = await line.run(READER, "policy", "explain", "embargo", "--policy", told["policy_sha256"])
    assert (code, told["rule"]) == (0, "embargo")
