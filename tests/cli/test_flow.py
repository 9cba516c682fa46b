"""The story from record to receipt through commands alone, and what each command refuses on the way."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest

from gateway.cli import release as release_commands
from gateway.cli.client import Identity, desk
from gateway.cli.shared import BYTES_DIFFER, NEGATIVE, exit_code
from gateway.cli.staging import BASIS, BE, FR, FUSION
from gateway.errors import LocalFault
from gateway.service import calls
from gateway.service.provision import read_officer_key
from tests.cli.conftest import Run, World

pytestmark = pytest.mark.integration

WHY = ("--purpose", "ct-prevention", "--basis", BASIS)


def test_good_lines_land_and_a_bad_one_is_named(world: World) -> None:
    """Of 21 lines 20 land; the last is named by file, line number and rule, and the exit code was 1."""
    assert world.imported["new"] == 20
    assert [(bad["line"], bad["rule"]) for bad in world.imported["bad"]] == [(21, "required")]


def test_importing_again_changes_nothing(world: World, ecluse: Run, tmp_path: Path) -> None:
    """The same person a second time is unchanged; nothing else is counted."""
    shown = ecluse("record", "list", *world.officer("be-requester")).document["records"]
    assert len(shown) == 20
    from adapters.records.synthetic import extract
    from gateway.service.app import now

    again = tmp_path / "again.jsonl"
    again.write_bytes(extract(3, 1, now()))
    said = ecluse("record", "import", "bdc-person/1.0", again, *world.officer("be-requester"))
    assert said.code == 0
    assert said.document["new"] == 0
    assert len(ecluse("record", "list", *world.officer("be-requester")).document["records"]) == 20


def test_a_preview_shows_one_permit_and_one_denial(world: World) -> None:
    """Police may have fields, the fusion centre none, by rule bdc.recipient alone; no payload is in the document."""
    police, fusion = world.preview["partners"]
    assert (police["partner"], police["effect"], fusion["partner"], fusion["effect"]) == (
        FR,
        "PERMIT",
        FUSION,
        "DENY",
    )
    assert {reason["rule"] for reason in fusion["reasons"] if reason["effect"] == "DENY"} == {"bdc.recipient"}
    assert "/health" in {field["pointer"] for field in police["withheld"]}
    assert "payload" not in json.dumps(world.preview)


def test_preview_bytes_are_marked_and_wrapped(world: World, ecluse: Run, tmp_path: Path) -> None:
    """The file says that it is a preview; the payload stands in it as base64, so no reader takes it for a message."""
    path = tmp_path / "preview.json"
    arguments = ("--to", FR, *WHY, "--bytes", path, *world.officer("be-requester"))
    assert ecluse("preview", "BDC-000001", *arguments).code == 0
    marked = json.loads(path.read_bytes())
    assert marked.keys() == {"preview", "payload_base64"}
    assert marked["preview"] is True
    assert json.loads(base64.b64decode(marked["payload_base64"]))["to"] == FR


def test_a_preview_for_people_is_a_matrix(world: World, ecluse: Run) -> None:
    """Without --json the same answer is a table of field by partner, with the reason of the denial in words."""
    arguments = [word for word in world.officer("be-requester") if word != "--json"]
    said = ecluse("preview", "BDC-000001", "--to", f"{FR},{FUSION}", *WHY, *arguments)
    assert said.code == NEGATIVE
    assert "/national_number" in said.out
    assert "class.C" in said.out
    assert f"{FUSION}: DENY" in said.out
    assert "bdc.recipient/1" in said.out


def test_a_disclosure_waits_for_a_second_person(world: World) -> None:
    """One release awaits approval, the denied partner is named, and approving queued exactly that release."""
    permitted, denied = world.disclosed["releases"]
    assert (permitted["state"], denied["state"], world.disclosed["denied"]) == (
        "awaiting-approval",
        "denied",
        [FUSION],
    )
    assert world.approved["queued"] == [world.release]
    assert world.approved["releases"][0]["requester"] == "be-requester"


def test_the_partner_got_the_approved_bytes(world: World, ecluse: Run) -> None:
    """What the partner's inbox shows hashes to the digest the approver signed; the trace ends with a receipt."""
    said = ecluse("inbox", "show", world.message, *world.officer("fr-inbox"))
    payload = base64.b64decode(said.document["payload_base64"])
    assert hashlib.sha256(payload).hexdigest() == world.approved["releases"][0]["payload_sha256"]
    assert world.trace["state"] == "delivered"
    assert world.trace["receipt"]
    assert any(step.get("log", "").endswith(f"/partner/{FR}") for step in world.trace["steps"])


def test_an_approver_is_never_the_requester(world: World, ecluse: Run) -> None:
    """Who asked cannot approve: exit code 2, and the release still waits."""
    requester = world.officer("be-requester")
    arguments = ("--to", FR, *WHY, "--justification", "synthetic", *requester)
    release = ecluse("disclose", "BDC-000001", *arguments).document["releases"][0]["release"]
    said = ecluse("approve", release, "--yes", *requester)
    assert (said.code, said.document["error"]["code"]) == (2, "role-missing")
    queue = ecluse("queue", "list", *requester).document["queue"]
    assert [one["state"] for one in queue if one["id"] == release] == ["awaiting-approval"]
    rejected = ecluse("reject", release, "--reason", "synthetic", *world.officer("be-approver"))
    assert (rejected.code, rejected.document["state"]) == (0, "rejected")


def test_nobody_to_ask_means_no_approval(world: World, ecluse: Run) -> None:
    """Without --yes and without a terminal nothing is signed: exit code 2."""
    arguments = ("--to", FR, *WHY, "--justification", "synthetic", *world.officer("be-requester"))
    release = ecluse("disclose", "BDC-000001", *arguments).document["releases"][0]["release"]
    said = ecluse("approve", release, *world.officer("be-approver"))
    assert (said.code, said.document["error"]["code"]) == (2, "request-invalid")
    assert "purpose ct-prevention" in said.err
    cancelled = ecluse("queue", "cancel", release, "--reason", "synthetic", *world.officer("be-requester"))
    assert cancelled.document["state"] == "cancelled"


def test_repeating_under_an_idempotency_key_acts_once(world: World, ecluse: Run) -> None:
    """The same disclosure and approval twice under one key: one release, queued once, the same answer each time."""
    requester = (*world.officer("be-requester"), "--idempotency-key", "story-1")
    arguments = ("--to", FR, *WHY, "--justification", "synthetic", *requester)
    first, second = (ecluse("disclose", "BDC-000001", *arguments) for _ in range(2))
    assert (first.code, second.code) == (0, 0)
    release = first.document["releases"][0]["release"]
    assert second.document["releases"][0]["release"] == release
    approver = (*world.officer("be-approver"), "--idempotency-key", "story-1")
    once, again = (ecluse("approve", release, "--yes", *approver) for _ in range(2))
    assert (once.code, once.document["queued"]) == (0, [release])
    assert (again.code, again.out) == (once.code, once.out)


def test_an_embargo_voids_what_waits(world: World, ecluse: Run, tmp_path: Path) -> None:
    """An embargo placed between request and approval: approving voids the release with that rule, exit code 1; lifting
    it needs two officers, after which the subject may leave again."""
    authority = tmp_path / "order.txt"
    authority.write_text("synthetic order\n")
    requester, approver = world.officer("be-requester"), world.officer("be-approver")
    arguments = ("--to", FR, *WHY, "--justification", "synthetic", *requester)
    release = ecluse("disclose", "BDC-000001", *arguments).document["releases"][0]["release"]
    placed = ecluse("embargo", "add", "BDC-000001", "--authority", authority, *requester).document["embargo"]
    voided = ecluse("approve", release, "--yes", *approver)
    assert voided.code == NEGATIVE
    assert "embargo" in {reason["rule"] for reason in voided.document["voided"][release]}
    assert ecluse("preview", "BDC-000001", "--to", FR, *WHY, *requester).code == NEGATIVE
    proposed = ecluse("embargo", "lift", placed, "--authority", authority, *requester).document
    assert proposed["state"] == "proposed"
    own = ecluse("change", "approve", proposed["id"], "--yes", *requester)
    assert (own.code, own.document["error"]["code"]) == (2, "request-invalid")
    assert ecluse("change", "approve", proposed["id"], "--yes", *approver).document["state"] == "applied"
    assert ecluse("preview", "BDC-000001", "--to", FR, *WHY, *requester).code == 0


def test_a_partner_is_stopped_by_one_and_released_by_two(world: World, ecluse: Run, tmp_path: Path) -> None:
    """Stopping applies at once; going back waits for a second officer, and silence without a terminal signs nothing."""
    requester = world.officer("be-requester")
    entry = ecluse("partner", "show", FUSION, *requester).document["entry"]
    stopped = ecluse("partner", "stop", FUSION, *requester)
    assert (stopped.code, stopped.document["state"]) == (0, "applied")
    preview = ecluse("preview", "BDC-000001", "--to", FUSION, *WHY, *requester)
    assert (preview.code, preview.document["error"]["code"]) == (2, "unknown-partner")
    back = tmp_path / "back.json"
    back.write_text(json.dumps({**entry, "version": 3}))
    proposed = ecluse("partner", "add", back, *requester).document
    assert proposed["state"] == "proposed"
    approver = world.officer("be-approver")
    unasked = ecluse("change", "approve", proposed["id"], *approver)
    assert (unasked.code, unasked.document["error"]["code"]) == (2, "request-invalid")
    assert ecluse("change", "show", proposed["id"], *approver).document["state"] == "proposed"
    assert ecluse("change", "approve", proposed["id"], "--yes", *approver).code == 0


def test_an_agreement_is_shown_by_its_terms(world: World, ecluse: Run) -> None:
    """Who approves an agreement reads the terms that were signed, not their encoding."""
    approver = world.officer("be-approver")
    changes = ecluse("change", "list", *approver).document["changes"]
    change = next(one["id"] for one in changes if one["kind"] == "agreement")
    said = ecluse("change", "show", change, *(word for word in approver if word != "--json"))
    assert said.code == 0
    assert '"purposes"' in said.out
    assert "ct-prevention" in said.out
    assert f"signed by {BE} and {FR}" in said.out or f"signed by {BE} and {FUSION}" in said.out


def test_an_officer_is_suspended_by_one_and_cleared_by_two(world: World, ecluse: Run, tmp_path: Path) -> None:
    """Leaving applies at once, and the officer's next call is refused; a clearance waits for a second officer; the last
    but one security officer stays."""
    first, second = world.officer("fr-inbox"), world.officer("fr-second")
    assert ecluse("queue", "list", *second).code == 0
    cleared = ecluse("officer", "clear", "fr-inbox", "--policy", "FRA", "--level", "UNCLASSIFIED", "--until",
                     "2099-01-01T00:00:00Z", *first)  # fmt: skip
    assert (cleared.code, cleared.document["state"]) == (0, "proposed")
    key, document = tmp_path / "fr-third.pem", tmp_path / "fr-third.json"
    new = (
        "--id",
        "fr-third",
        "--person",
        "person-third",
        "--name",
        "Zz third (synthetic)",
        "--role",
        "inbox",
    )
    assert ecluse("officer", "key", "--out", key, "--json-out", document, *new).code == 0
    added = ecluse("officer", "add", document, *first).document
    assert ecluse("change", "approve", added["id"], "--yes", *second).document["state"] == "applied"
    third = ("--home", world.stage.fr.path, "--as", "fr-third", "--officer-key", key, "--json")
    assert ecluse("queue", "list", *third).code == 0
    left = ecluse("officer", "leave", "fr-third", *first)
    assert (left.code, left.document["state"]) == (0, "applied")
    refused = ecluse("queue", "list", *third)
    assert (refused.code, refused.document["error"]["code"]) == (2, "role-missing")
    last = ecluse("officer", "leave", "fr-second", *first)
    assert (last.code, last.document["error"]["code"]) == (2, "conflict")
    assert ecluse("officer", "suspend", "fr-nobody", *first).document["error"]["code"] == "not-found"


def test_an_approver_who_says_no_signs_nothing(
    world: World, ecluse: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At a terminal the bytes are shown and the officer is asked; no means exit code 1 and a release that waits."""
    arguments = ("--to", FR, *WHY, "--justification", "synthetic", *world.officer("be-requester"))
    release = ecluse("disclose", "BDC-000001", *arguments).document["releases"][0]["release"]
    master, slave = os.openpty()
    os.write(master, b"n\n")
    with os.fdopen(slave) as keyboard:
        monkeypatch.setattr("sys.stdin", keyboard)
        said = ecluse("approve", release, *world.officer("be-approver"))
    os.close(master)
    assert (said.code, said.document["error"]["code"]) == (NEGATIVE, "declined")
    assert '"type": "disclosure"' in said.err
    state = ecluse("trace", release, *world.officer("be-approver")).document["state"]
    assert state == "awaiting-approval"


def test_lists_and_explanations(world: World, ecluse: Run) -> None:
    """Each list answers one document with exit code 0; a rule is explained in the language asked for."""
    approver = world.officer("be-approver")
    names = {
        ("officer", "list"): "officers",
        ("partner", "list"): "partners",
        ("agreement", "list"): "agreements",
        ("embargo", "list"): "embargoes",
        ("change", "list"): "changes",
        ("inbox", "list"): "inbox",
        ("inbox", "quarantine"): "quarantine",
    }
    for words, member in names.items():
        said = ecluse(*words, *approver)
        assert said.code == 0, (words, said.out)
        assert isinstance(said.document[member], list)
    french = ecluse("policy", "explain", "bdc.recipient", "--language", "fr", *approver).document
    english = ecluse("policy", "explain", "bdc.recipient", *approver).document
    assert french["article"] == english["article"]
    assert french["text"] != english["text"]
    assert ecluse("policy", "explain", "no.such-rule", *approver).code == 2
    reasons = ecluse("policy", "explain", "--release", world.release, *approver)
    assert reasons.code == 0
    assert any(field["outcome"] == "withheld" for field in reasons.document["fields"])


def test_a_record_is_shown_with_its_labels(world: World, ecluse: Run) -> None:
    """Every field carries its class and where its label came from."""
    said = ecluse("record", "show", "BDC-000001", *world.officer("be-requester"))
    assert said.code == 0
    fields = {field["pointer"]: field for field in said.document["fields"]}
    assert fields["/national_number"]["export_class"] == "C"
    assert {field["label_source"] for field in fields.values()} <= {"item", "record", "none"}


@pytest.fixture(scope="module")
def view(world: World) -> calls.ReleaseView:
    """The release of the story as the gateway shows it."""
    key = read_officer_key(world.stage.folder / "officers" / "be-approver.pem")

    async def show() -> Any:
        async with desk(world.stage.be.path, Identity("be-approver", key)) as client:
            return await client.call("releases/show", calls.Named(world.release), calls.ReleaseView)

    shown: calls.ReleaseView = asyncio.run(show())
    return shown


@pytest.mark.parametrize("member", ["payload", "document", "id", "message_id"])
def test_a_gateway_that_shows_other_bytes_gets_no_signature(view: calls.ReleaseView, member: str) -> None:
    """Any member that the statement does not bind as shown is refused before anything is signed: exit code 1."""
    release_commands.bound(view)
    value = getattr(view, member)
    other = value + b" " if isinstance(value, bytes) else "5f0c7f0e-6a0e-4a53-9d57-0f3c1c2b7a11"
    with pytest.raises(LocalFault) as refused:
        release_commands.bound(msgspec.structs.replace(view, **{member: other}))
    assert (refused.value.code, exit_code(refused.value)) == (BYTES_DIFFER, NEGATIVE)


def test_an_agreement_of_one_side_is_not_proposed(world: World, ecluse: Run, tmp_path: Path) -> None:
    """One signature is exit code 2 and says whose is missing; a signature of another key is exit code 1."""
    whole = world.stage.agreements[FR]
    half, forged = tmp_path / "half.json", tmp_path / "forged.json"
    half.write_bytes(
        msgspec.json.encode(msgspec.structs.replace(whole, signatures={BE: whole.signatures[BE]}))
    )
    swapped = {BE: whole.signatures[FR], FR: whole.signatures[BE]}
    forged.write_bytes(msgspec.json.encode(msgspec.structs.replace(whole, signatures=swapped)))
    said = ecluse("agreement", "add", half, *world.officer("be-requester"))
    assert (said.code, said.document["error"]["code"]) == (2, "request-invalid")
    assert "the partner" in said.document["error"]["detail"]
    said = ecluse("agreement", "add", forged, *world.officer("be-requester"))
    assert (said.code, said.document["error"]["code"]) == (NEGATIVE, "signature-invalid")


def test_ids_that_cannot_be_are_refused_before_anything_is_sent(world: World, ecluse: Run) -> None:
    """A conversation that is no UUID and an idempotency key that is too long or not visible: the field is named."""
    words = ("disclose", "BDC-000001", "--to", FR, *WHY, "--justification", "synthetic")
    requester = world.officer("be-requester")
    said = ecluse(*words, "--conversation", "Zzemo", *requester)
    assert (said.code, said.document["error"]["diagnostic"]) == (2, {"field": "conversation"})
    for key in ("x" * 129, "a b", "é"):
        said = ecluse(*words, "--idempotency-key", key, *requester)
        assert (said.code, said.document["error"]["diagnostic"]["field"]) == (2, "idempotency-key")
    twice = ecluse("preview", "BDC-000001", "--to", f"{FR}, {FR}", *WHY, *requester)
    assert [one["partner"] for one in twice.document["partners"]] == [FR]
