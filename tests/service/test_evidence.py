"""Evidence packs: everything a body outside needs, nothing that it may not see, and checked without us."""

from __future__ import annotations

import asyncio
import hashlib
import json
import shutil
import subprocess
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from adapters.records.synthetic import extract
from gateway.audit.entry import body_commitment, parse_partner_entry
from gateway.cli.evidence import _checks, _keys_inside
from gateway.errors import NotFound, RequestInvalid, RoleMissing
from gateway.flow.change import canonical
from gateway.model.ground import Consent
from gateway.model.oversight import OversightKey
from gateway.model.rows import DirectoryRow, EntryRow, OutboxRow
from gateway.service import calls
from gateway.service.calls.evidence import MakePack, PackView
from gateway.service.config import Timestamping
from gateway.service.evidence import COURT_PURPOSE, MAX_MESSAGES
from gateway.service.stamps import Stamps
from gateway.wire import hpke
from gateway.wire.strict import b64url, b64url_decode
from tests.service.commandline import Line
from tests.service.test_grounds import ALIAS, CONSENT, EXEMPLAR, SUPPLIER, confirmed
from tests.service.world import BE, CLEAN, FR, KIND, NOW, Side, World
from tests.tls.authority import POLICY, Authority, openssl_verify

COURT = "bel.court-demo"
SEED = bytes(range(32))
KEY = OversightKey(1, hpke.SUITE, b64url(hpke.kem_public_bytes(SEED)), 2, ("Comité P", "Comité R", "COC"))


async def sent(side: Side, record: str = CLEAN[0]) -> tuple[str, str]:
    """A release of this record that left; release and message id."""
    (view,) = await side.disclose(record)
    await side.send()
    (row,) = side.rows(OutboxRow, release=view.release)
    return view.release, row.message_id


async def pack(side: Side, *messages: str, by: str = "be-only-reviewer", **changes: Any) -> PackView:
    params = MakePack(messages, "comite-r", "an invented letter of 2026-11-20")
    view: PackView = await side.call(by, "evidence/pack", msgspec.structs.replace(params, **changes))
    return view


async def test_a_pack_proves_what_crossed(world: World) -> None:
    """Payload, seal, receipt and decision of the message, its entry with the opening of its commitment and the proof of
    its place; and a cover that says in four languages what that proves."""
    be = world.be
    release, message = await sent(be)
    view = await pack(be, release)
    folder = f"messages/{message}"
    assert view.not_covered == ("withheld",)
    assert {name.removeprefix(f"{folder}/") for name in view.files} >= {
        "payload.json", "seal.jws", "receipt.jws", "opening.json", "entry.json", "entry.tlog-proof", "decision.json",
        "statement.json", "people.json", "endorsement-1.jws", "endorsement-2.jws",
        "keys.json", "verify.py", "cover.txt",
    }  # fmt: skip
    entry = parse_partner_entry(view.files[f"{folder}/entry.json"])
    opening = json.loads(view.files[f"{folder}/opening.json"])
    digest = bytes.fromhex(opening["payload_sha256"])
    assert entry.body == body_commitment(b64url_decode(opening["salt"]), digest)
    checks = list(_checks(view.files, _keys_inside(view.files)))
    assert [(one["log"], one["fault"]) for one in checks if one["file"].endswith("/entry.json")] == [
        (f"ecluse/{BE}/partner/{FR}", "")
    ]
    cover = view.files["cover.txt"].decode()
    for words in (
        "DOSSIER DE PREUVES",
        "BEWIJSDOSSIER",
        "BEWEISMAPPE",
        "EVIDENCE PACK",
        "Comité R",
        "Comité I",
    ):
        assert words in cover
    people = json.loads(view.files[f"{folder}/people.json"])
    assert [(one["act"], one["who"]) for one in people] == [
        ("request", "be-requester"),
        ("approve", "be-approver"),
    ]


async def test_what_does_not_fit_in_a_pack_is_named(world: World) -> None:
    """Whoever signs a pack may put other things in it: a message without its entry, under another id, or with another
    payload or proof, is at fault by name."""
    be = world.be
    release, message = await sent(be)
    files = (await pack(be, release)).files
    folder = f"messages/{message}"
    moved = {
        name.replace(message, "2213c717-1a7f-44d5-85d8-04ca394a2cd5"): raw for name, raw in files.items()
    }
    proof = f"{folder}/entry.tlog-proof"
    spoilt: dict[str, dict[str, bytes]] = {
        "": files,
        "no entry of the log stands for this message": {
            name: raw for name, raw in files.items() if name != f"{folder}/entry.json"
        },
        "the entry is another message's": moved,
        "the entry commits to another payload": files | {f"{folder}/payload.json": b"{}"},
        "a proof is missing, or is no C2SP tlog-proof": files | {proof: b""},
        "a proof cannot be read": files | {proof: files[proof].replace(b"index ", b"index x")},
        "the opening of a message is missing or cannot be read": files | {f"{folder}/opening.json": b"[]"},
    }
    for fault, changed in spoilt.items():
        found = [
            one["fault"] for one in _checks(changed, _keys_inside(files)) if "receipt" not in one["file"]
        ]
        assert found == [fault]


async def test_what_came_is_shown_too(world: World) -> None:
    """A message received, by its partner's id of it: payload, seal, our receipt, and our entry."""
    _, message = await sent(world.be)
    view: PackView = await world.fr.call(
        "fr-inbox", "evidence/pack", MakePack((f"{BE}/{message}",), "comite-p", "an invented letter")
    )
    names = {name.rpartition("/")[2] for name in view.files}
    assert {"payload.json", "seal.jws", "receipt.jws", "opening.json"} <= names
    assert ("entry.json" in names) is ("proof" not in view.not_covered)
    assert "decision.json" not in names


async def test_the_read_is_an_entry(world: World) -> None:
    """One entry before anything is shown, by the reviewer; none for a pack that was refused."""
    be = world.be
    release, _ = await sent(be)
    before = len(be.rows(EntryRow))
    await pack(be, release)
    assert len(be.rows(EntryRow)) == before + 1
    assert b'"event":"read"' in be.rows(EntryRow, origin=f"ecluse/{BE}/master")[-1].entry
    with pytest.raises(RequestInvalid):
        await pack(be, release, authority=" ")
    assert len(be.rows(EntryRow)) == before + 1


async def test_what_was_withheld_is_sealed_to_the_oversight_key(world: World) -> None:
    """Once two persons put the key in force: the record that was decided on, whole, for two of three holders."""
    be = world.be
    release, message = await sent(be, EXEMPLAR)
    await be.change("oversight", "main", canonical(KEY))
    assert len(be.rows(DirectoryRow, kind="oversight", current=True)) == 1
    view = await pack(be, release)
    assert (view.withheld, view.not_covered) == (1, ())
    payload, sealed = (view.files[f"messages/{message}/{name}"] for name in ("payload.json", "withheld.hpke"))
    bound = canonical({"message": message, "use": "ecluse/withheld/1"})
    record = json.loads(hpke.decrypt(bound, sealed, hpke.kem_private(SEED)))
    shown = json.loads(payload)["records"][0]
    assert len(record["content"]["names"]) == len(shown["names"]) + 1
    assert "national_number" in record["content"]
    assert "national_number" not in shown


async def test_a_court_sees_what_originators_let_it_see(world: World) -> None:
    """An item under its supplier's control blocks the pack, by name; with the supplier's consent toward this court it
    is shown, to this court alone. Officers are numbers, and nothing that names them is there."""
    be = world.be
    await confirmed(be, CONSENT)
    release, message = await sent(be, EXEMPLAR)
    view = await pack(be, release, body="court", court=COURT)
    assert view.files == {}
    assert {(one.message, one.originators) for one in view.blocked} >= {(message, (SUPPLIER,))}
    assert {one.rule for one in view.blocked} == {"label.orcon", "handling.judicial-use"}
    consent = Consent(
        SUPPLIER, (COURT,), (COURT_PURPOSE,), (ALIAS.replace("2", "*"),), "2026-12-31", "paper", "x", NOW
    )
    await confirmed(be, consent)
    view = await pack(be, release, body="court", court=COURT)
    assert view.blocked == ()
    assert (await pack(be, release, body="court", court="bel.court-other")).blocked != ()
    everything = b"\n".join(raw for name, raw in view.files.items() if name != "verify.py")
    for officer in ("be-requester", "be-approver"):
        assert officer.encode() not in everything
    assert "withheld" not in " ".join(view.files)
    people = json.loads(view.files[f"messages/{message}/people.json"])
    assert [one["who"] for one in people] == ["officer-1", "officer-2"]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"messages": ()}, "messages"),
        ({"messages": ("a", "a")}, "messages"),
        ({"messages": tuple(map(str, range(MAX_MESSAGES + 1)))}, "messages"),
        ({"authority": ""}, "authority"),
        ({"authority": "‮"}, "authority"),
        ({"body": "court"}, "court"),
        ({"court": COURT}, "court"),
        ({"body": "court", "court": "The Court"}, "court"),
    ],
)
async def test_what_is_asked_wrongly(world: World, changes: dict[str, Any], field: str) -> None:
    """The field is named."""
    with pytest.raises(RequestInvalid) as refused:
        await pack(world.be, "a", **changes)
    assert refused.value.diagnostic["field"] == field


async def test_what_did_not_cross_and_who_may_not(world: World) -> None:
    """A release that waits is no evidence of an exchange; only a reviewer makes a pack; an unknown id is not found."""
    be = world.be
    (view,) = await be.disclose(CLEAN[0])
    for name in (view.release, "nothing"):
        with pytest.raises(NotFound):
            await pack(be, name)
    assert be.desk.operations()["evidence/pack"].roles == ("reviewer",)


async def test_a_reviewer_sees_no_more_in_a_pack_than_elsewhere(world: World) -> None:
    """Without need to know of the kind there is no pack, and no entry of a read that did not happen."""
    be = world.be
    release, _ = await sent(be)
    officers = be.gateway.directory.officers
    officers["be-only-reviewer"] = msgspec.structs.replace(officers["be-only-reviewer"], need_to_know=())
    before = len(be.rows(EntryRow))
    with pytest.raises(RoleMissing):
        await pack(be, release)
    assert len(be.rows(EntryRow)) == before


async def test_two_messages_of_one_id_are_not_mixed(world: World) -> None:
    """Named by release and by message it is one and the same; files are named by ids, so neither is taken twice."""
    release, message = await sent(world.be)
    with pytest.raises(RequestInvalid) as refused:
        await pack(world.be, release, message)
    assert refused.value.diagnostic == {"field": "messages"}


@pytest.mark.integration
async def test_on_the_command_line(line: Line) -> None:
    """Made, countersigned, verified offline, opened by unzip and openssl; one word changed and it holds no more; the
    shares of the oversight key open what was withheld."""
    be = line.world.be
    code, out, err = await line.said(
        "evidence", "oversight-key", "--holder", "P", "--holder", "R", "--holder", "C", "--out", line.folder / "key",
        "--json",
    )  # fmt: skip
    assert code == 0, err
    made = json.loads(out)
    document = (line.folder / "key" / "oversight.json").read_bytes()
    await be.change("oversight", "main", canonical(msgspec.json.decode(document, type=OversightKey)))
    lines = extract(3, 1, line.world.clock.now())
    await be.call("be-requester", "records/import", calls.ImportChunk(KIND, 1, lines))
    release, message = await sent(be, EXEMPLAR)
    file, second = line.folder / "pack.asice", line.folder / "pack2.asice"
    words = ("evidence", "pack", release, "--for", "comite-r", "--authority", "letter 7", "--out", file)
    code, answer = await line.run("be-only-reviewer", *words)
    assert (code, answer["withheld"]) == (0, 1)
    code, again = await line.run("be-only-reviewer", *words)
    assert (code, again["error"]["diagnostic"]["field"]) == (2, "out")
    code, answer = await line.run("be-approver", "evidence", "countersign", file, "--out", second)
    assert (code, answer["signatures"]) == (0, 2)
    code, out, _ = await line.said("evidence", "verify", second, "--json")
    verified = json.loads(out)
    assert (code, verified["holds"]) == (0, True)
    assert [one["signer"] for one in verified["signatures"]] == ["be-only-reviewer", "be-approver"]
    shares = [one["file"] for one in made["shares"]]
    opened = ("evidence", "open-withheld", second, "--out", line.folder / "opened", "--json")
    code, out, _ = await line.said(*opened, "--share", shares[0])
    assert code == 2
    code, out, _ = await line.said(*opened, "--share", shares[0], "--share", shares[2])
    assert code == 0
    assert json.loads((line.folder / "opened" / f"{message}.json").read_bytes())["kind"] == "bdc-person/1.0"
    spoilt = line.file("spoilt.asice", b"")
    with zipfile.ZipFile(second) as whole, zipfile.ZipFile(spoilt, "w") as changed:
        for name in whole.namelist():
            changed.writestr(name, whole.read(name).replace(b"EVIDENCE PACK", b"EVIDENCE HACK"))
    code, out, _ = await line.said("evidence", "verify", spoilt, "--json")
    assert (code, json.loads(out)["holds"]) == (1, False)
    assert json.loads(out)["fault"] == "a manifest does not name the files as they are"
    await asyncio.to_thread(openssl_agrees, second, line.folder / "unpacked")


def openssl_agrees(file: Path, folder: Path) -> None:
    """Both signatures of a pack, by openssl alone."""
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl")
    with zipfile.ZipFile(file) as packed:
        packed.extractall(folder)
    for number in ("1", "2"):
        p7s = f"META-INF/signature{number}.p7s"
        show = ["openssl", "pkcs7", "-inform", "DER", "-in", p7s, "-print_certs", "-out", "signer.pem"]
        subprocess.run(show, cwd=folder, check=True)
        check = ["openssl", "cms", "-verify", "-binary", "-cades", "-inform", "DER", "-in", p7s, "-content"]
        check += [
            f"META-INF/ASiCManifest{number}.xml",
            "-CAfile",
            "signer.pem",
            "-purpose",
            "any",
            "-out",
            "out",
        ]
        assert subprocess.run(check, cwd=folder, capture_output=True).returncode == 0


async def test_a_pack_brings_the_stamp_over_its_heads(world: World, tmp_path: Path) -> None:
    """The proof of what a time-stamp covers is under the stamped head, whose digest stands in the stamped document,
    which openssl accepts; what came after is under the newest head; no stamp names a partner."""
    be, tsa = world.be, Authority(tmp_path / "tsa")
    first, message = await sent(be)
    await be.gateway.checkpoint_logs([f"ecluse/{BE}/partner/{FR}", f"ecluse/{BE}/master"])
    be.gateway.config = msgspec.structs.replace(
        be.gateway.config, timestamping=Timestamping("http://t.invalid/", POLICY)
    )
    world.clock.set(datetime.now(UTC))
    assert await Stamps(be.gateway, tsa, tsa.trusted).round()
    world.clock.set(NOW)
    second, later = await sent(be, CLEAN[1])
    view = await pack(be, first, second)
    stamps = {name: raw for name, raw in view.files.items() if name.startswith("stamps/")}
    assert [name.rpartition("/")[2] for name in sorted(stamps)] == [
        "chain.pem",
        "document.json",
        "response.tsr",
    ]
    for name, raw in stamps.items():
        assert FR.encode() not in raw
        (tmp_path / name.rpartition("/")[2]).write_bytes(raw)
    paths = (tmp_path / "document.json", tmp_path / "response.tsr", tsa.ca, tmp_path / "chain.pem")
    assert openssl_verify(*paths) == "OK"
    heads = json.loads(stamps["stamps/00000001/document.json"])["heads"]
    notes = [view.files[f"messages/{one}/entry.tlog-proof"].partition(b"\n\n")[2] for one in (message, later)]
    assert [hashlib.sha256(note).hexdigest() in heads for note in notes] == [True, False]
    checks = list(_checks(view.files, _keys_inside(view.files)))
    assert not [one for one in checks if one["fault"]]
    assert "openssl ts -verify" in view.files["cover.txt"].decode()
    assert "openssl ts -verify" not in (await pack(be, second)).files["cover.txt"].decode()
