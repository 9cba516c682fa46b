"""`ecluse audit`: a log as it is verifies; every tampering ends in a verdict that says where, never in a crash."""

from __future__ import annotations

import base64
import json
import shutil
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from gateway.audit.checkpoint import Checkpoint, VerifierKey, parse, sign
from gateway.cli.staging import BE, FR
from tests.cli.conftest import Run, Said, World

pytestmark = pytest.mark.integration

#: Signs for nobody: where a note is refused before its signature counts.
OTHER = Ed25519PrivateKey.generate()

#: Removes the partner's log with everything that is stored about it.
WHOLE_LOG = (
    "DELETE FROM logs WHERE origin LIKE '%partner%'",
    "DELETE FROM entries WHERE origin LIKE '%partner%'",
    "DELETE FROM tiles WHERE origin LIKE '%partner%'",
    "DELETE FROM checkpoints WHERE origin LIKE '%partner%'",
)

#: Seconds until the keeper must have signed the head of a log.
SEALED_S = 20.0

MASTER, TO_FR = f"ecluse/{BE}/master", f"ecluse/{BE}/partner/{FR}"


def copied(world: World, folder: Path) -> Path:
    """A home with the same logs that no process owns: configuration, public keys, the signer's heads, the store."""
    home = folder / "copy"
    (home / "signer").mkdir(parents=True)
    shutil.copy(world.stage.be.config, home)
    # Heads first: a running gateway may sign the next one in between, and a store is never behind its signer.
    for name in ("public.json", "heads.json"):
        shutil.copy(world.stage.be.signer / name, home / "signer")
    with (
        closing(sqlite3.connect(world.stage.be.database)) as source,
        closing(sqlite3.connect(home / "store.sqlite")) as target,
    ):
        source.backup(target)
        target.execute("PRAGMA journal_mode=wal")
    return home


@pytest.fixture
def home(world: World, ecluse: Run, tmp_path: Path) -> Path:
    settled(ecluse, world.stage.be.path)
    return copied(world, tmp_path)


def changed(home: Path, *statements: str) -> None:
    with closing(sqlite3.connect(home / "store.sqlite")) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


def by_log(document: Any) -> dict[str, Any]:
    return {one["log"]: one for one in document["logs"]}


def settled(ecluse: Run, home: Path) -> Said:
    """The verdict once the newest entries are under a signed head, which the keeper signs every second."""
    deadline = time.monotonic() + SEALED_S
    while True:
        said = ecluse("audit", "verify", "--home", home, "--json")
        if said.code == 0 or time.monotonic() > deadline:
            return said
        time.sleep(0.1)


def test_a_home_verifies_while_its_gateway_runs(world: World, ecluse: Run) -> None:
    """Both logs hold, the message is under a signed head, and the running gateway goes on."""
    said = settled(ecluse, world.stage.be.path)
    assert said.code == 0, said.out
    assert said.document["verified"] is True
    logs = by_log(said.document)
    assert set(logs) == {MASTER, TO_FR}
    assert logs[TO_FR]["sealed_size"] >= 1
    theirs = settled(ecluse, world.stage.fr.path)
    assert (theirs.code, {one["origin"] for one in theirs.document["held"]}) == (0, {TO_FR})
    assert {one["reason"] for one in theirs.document["held"]} == {""}
    assert ecluse("queue", "list", *world.officer("be-approver")).code == 0


@pytest.mark.parametrize(
    ("statements", "log", "status", "reason", "first"),
    [
        (("DELETE FROM entries WHERE origin LIKE '%master' AND position=3",), MASTER, "broken", "position-missing", 3),
        (("UPDATE entries SET entry=x'7b7d' WHERE origin LIKE '%master' AND position=2",), MASTER, "broken",
         "entry-changed", 2),
        (("UPDATE checkpoints SET note=x'00' WHERE origin LIKE '%master'",), MASTER, "broken", "checkpoint-invalid", 0),
        (("DELETE FROM tiles WHERE origin LIKE '%master'",), MASTER, "broken", "tile-missing", 0),
        (("DROP TABLE tiles",), MASTER, "broken", "unreadable", 0),
        (("UPDATE checkpoints SET at=9223372036854775807",), MASTER, "broken", "unreadable", 0),
        (WHOLE_LOG, TO_FR, "truncated", "signer-tail-missing", 0),
    ],
)  # fmt: skip
def test_tampering_is_named(
    home: Path, ecluse: Run, statements: tuple[str, ...], log: str, status: str, reason: str, first: int
) -> None:
    """Each change of the store yields exit code 1 and, for the log touched, status, reason and first wrong index."""
    changed(home, *statements)
    said = ecluse("audit", "verify", "--home", home, "--json")
    assert said.code == 1
    found = by_log(said.document)[log]
    assert (found["verified"], found["status"], found["reason"], found["first_wrong_index"]) == (
        False,
        status,
        reason,
        first,
    )


#: Each makes the gateway append in the wrong place, or refuse to start: the log alone would hold.
@pytest.mark.parametrize(
    ("statements", "log", "reason", "first"),
    [
        (("UPDATE logs SET size=size+1 WHERE origin LIKE '%master'",), MASTER, "size-wrong", None),
        (("UPDATE logs SET size=1 WHERE origin LIKE '%master'",), MASTER, "size-wrong", 1),
        (("DELETE FROM logs WHERE origin LIKE '%master'",), MASTER, "size-wrong", 0),
        (("INSERT INTO logs SELECT origin||'x', 3 FROM logs WHERE origin LIKE '%fra%'",), f"{TO_FR}x", "size-wrong", 0),
        (("INSERT INTO logs SELECT origin||'x', 0 FROM logs WHERE origin LIKE '%fr%'",), f"{TO_FR}x", "log-unknown", 0),
        (("INSERT INTO logs VALUES ('Zzemo', 0)",), "Zzemo", "unreadable", 0),
        (("UPDATE entries SET position=-1 WHERE origin LIKE '%master' AND position=0",), MASTER, "position-missing", 0),
    ],
)  # fmt: skip
def test_books_that_do_not_agree_are_found(
    home: Path, ecluse: Run, statements: tuple[str, ...], log: str, reason: str, first: int | None
) -> None:
    """A count, a listed log or a position that no gateway would write: exit code 1 and the reason for that log."""
    changed(home, *statements)
    said = ecluse("audit", "verify", "--home", home, "--json")
    found = by_log(said.document)[log]
    assert (said.code, found["verified"], found["reason"]) == (1, False, reason)
    assert found["first_wrong_index"] == (found["size"] if first is None else first)


def forget(home: Path, *origins: str) -> None:
    """Take heads out of the signer's file."""
    path = home / "signer" / "heads.json"
    heads = json.loads(path.read_bytes())
    path.write_text(json.dumps({origin: head for origin, head in heads.items() if origin not in origins}))


def test_a_signer_that_forgot_a_log_is_found(home: Path, ecluse: Run) -> None:
    """A signed head is stored of a log that the signer does not know: exit code 1 for that log alone."""
    forget(home, TO_FR)
    said = ecluse("audit", "verify", "--home", home, "--json")
    assert said.code == 1
    found = by_log(said.document)
    assert (found[TO_FR]["reason"], found[MASTER]["verified"]) == ("signer-head-missing", True)


def test_a_signer_with_another_history_is_found(home: Path, ecluse: Run) -> None:
    """The signer's head is shorter than the log and of another root: exit code 1, and a range that ends with it."""
    path = home / "signer" / "heads.json"
    heads = json.loads(path.read_bytes())
    heads[MASTER] = {"size": 2, "root": base64.b64encode(bytes(32)).decode()}
    path.write_text(json.dumps(heads))
    found = by_log(ecluse("audit", "verify", "--home", home, "--json").document)[MASTER]
    assert (found["reason"], found["first_wrong_index"], found["last_wrong_index"]) == ("signer-root", 0, 1)


@pytest.mark.parametrize("damage", ["missing", "emptied", "garbage"])
def test_the_signers_heads_must_be_there(home: Path, ecluse: Run, damage: str) -> None:
    """Without its file of heads `audit verify` finds a fault beside logs that hold; `serve` ends with 4."""
    path = home / "signer" / "heads.json"
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(b"" if damage == "emptied" else b"[")
    said = ecluse("audit", "verify", "--home", home, "--json")
    assert (said.code, said.document["verified"], said.document["faults"]) == (1, False, ["signer-heads"])
    assert all(one["verified"] for one in said.document["logs"])
    # In a process of its own: `serve` may start itself again with its own OpenSSL configuration.
    words = [sys.executable, "-m", "gateway.cli", "serve", "--home", str(home), "--json"]
    served = subprocess.run(words, capture_output=True, check=False, timeout=60)
    assert (served.returncode, json.loads(served.stdout)["error"]["code"]) == (4, "audit-broken")


@pytest.mark.parametrize("older", [False, True])
@pytest.mark.parametrize("statement", ["DROP TABLE meta", "DELETE FROM meta", "UPDATE meta SET value='0'"])
def test_a_database_of_another_schema_is_not_verified(
    home: Path, ecluse: Run, statement: str, older: bool
) -> None:
    """What `ecluse serve` would refuse to open is a fault, exit code 1; also where a table of today is not there yet,
    and nothing can be read. No export is made of it: wrong configuration, exit code 2."""
    changed(home, statement)
    if older:
        changed(home, "DROP TABLE stamps")
    out = ecluse("audit", "export", "--home", home, "--out", home / "out", "--json")
    assert (out.code, out.document["error"]["code"]) == (2, "config-invalid")
    said = ecluse("audit", "verify", "--home", home, "--json")
    assert (said.code, said.document["verified"], said.document["faults"]) == (1, False, ["schema"])


def test_a_log_that_is_not_there_cannot_be_asked_for(home: Path, ecluse: Run) -> None:
    """--log with an origin of no log is wrong usage, not a verdict: exit code 2."""
    said = ecluse("audit", "verify", "--home", home, "--log", "nolog", "--json")
    assert (said.code, said.document["error"]["code"]) == (2, "not-found")
    assert set(by_log(ecluse("audit", "verify", "--home", home, "--log", MASTER, "--json").document)) == {
        MASTER
    }


def test_an_export_without_a_log_that_the_home_knows_is_found(
    home: Path, ecluse: Run, tmp_path: Path
) -> None:
    """One log's folder removed from an export: exit code 1 and that log named, as long as the home is there to ask."""
    out = tmp_path / "export"
    assert ecluse("audit", "export", "--home", home, "--out", out, "--json").code == 0
    assert ecluse("audit", "verify", "--home", home, "--export", out, "--json").code == 0
    shutil.rmtree(out / TO_FR)
    said = ecluse("audit", "verify", "--home", home, "--export", out, "--json")
    assert (said.code, by_log(said.document)[TO_FR]["reason"]) == (1, "log-missing")
    only = ecluse("audit", "verify", "--home", home, "--export", out, "--log", MASTER, "--json")
    assert only.code == 0


@pytest.mark.parametrize("damage", ["garbage", "directory", "not a partner"])
def test_what_cannot_be_read_is_a_verdict(home: Path, ecluse: Run, damage: str) -> None:
    """A store that is no database or dropped documents: exit code 1, one document, every known log named, no trace."""
    if damage == "garbage":
        (home / "store.sqlite").write_bytes(b"not a database" * 100)
    elif damage == "directory":
        changed(home, "DROP TABLE directory")
    else:
        changed(home, "UPDATE directory SET document=x'ff' WHERE kind='partner'")
    said = ecluse("audit", "verify", "--home", home, "--json")
    assert said.code == 1
    assert said.document["verified"] is False
    assert {one["log"]: one["reason"] for one in said.document["logs"]} == {
        MASTER: "unreadable",
        TO_FR: "unreadable",
    }


def test_an_export_verifies_without_the_home(home: Path, ecluse: Run, tmp_path: Path) -> None:
    """Exported logs verify with the log key alone; not with another key, and not after one byte was changed."""
    out = tmp_path / "export"
    assert ecluse("audit", "export", "--home", home, "--out", out, "--json").code == 0
    public = json.loads((home / "signer" / "public.json").read_bytes())
    from gateway.wire.strict import b64url_decode

    raw = next(b64url_decode(key["public"]) for key in public if key["use"] == "log")
    key = VerifierKey(f"ecluse/{BE}", raw).encode()
    verified = ecluse("audit", "verify", "--export", out, "--key", key, "--json")
    assert (verified.code, set(by_log(verified.document))) == (0, {MASTER, TO_FR})
    only = ecluse("audit", "verify", "--export", out, "--log", TO_FR, "--key", key, "--json")
    assert set(by_log(only.document)) == {TO_FR}
    stranger = VerifierKey(f"ecluse/{BE}", bytes([1]) * 32).encode()
    assert ecluse("audit", "verify", "--export", out, "--key", stranger, "--json").code == 1
    bundle = next((out / MASTER / "tile" / "entries").glob("*"))
    bundle = next(bundle.glob("*")) if bundle.is_dir() else bundle
    bytes_ = bytearray(bundle.read_bytes())
    bytes_[40] ^= 1
    bundle.write_bytes(bytes_)
    held = tmp_path / "note"
    held.write_bytes(sign(Checkpoint(f"ecluse/{BE}/partner/fra.nobody", 1, bytes(32)), f"ecluse/{BE}", OTHER))
    absent = ecluse("audit", "verify", "--export", out, "--key", key, "--held", held, "--json")
    assert (absent.code, absent.document["logs"][-1]["reason"]) == (1, "log-missing")
    tampered = ecluse("audit", "verify", "--export", out, "--key", key, "--json")
    assert tampered.code == 1
    assert by_log(tampered.document)[MASTER]["first_wrong_index"] == 0


def test_a_head_a_partner_holds_is_evidence(world: World, home: Path, ecluse: Run, tmp_path: Path) -> None:
    """The French side hands over the heads it holds of our log: they hold, and count as held outside; when the log is
    cut back together with every head, they still find it."""
    notes = tmp_path / "notes"
    said = ecluse("audit", "checkpoint", "--held", "--home", world.stage.fr.path, "--out", notes, "--json")
    assert said.code == 0
    files = [head["file"] for head in said.document["checkpoints"]]
    held = [word for file in files for word in ("--held", file)]
    newest = max(head["size"] for head in said.document["checkpoints"])
    good = ecluse("audit", "verify", "--home", world.stage.be.path, *held, "--json")
    assert good.code == 0
    # a round of cosignatures may have come since
    assert by_log(good.document)[TO_FR]["witnessed_size"] >= newest
    changed(home, *WHOLE_LOG)
    forget(home, TO_FR)
    unseen = ecluse("audit", "verify", "--home", home, "--json")
    assert (unseen.code, set(by_log(unseen.document))) == (0, {MASTER})
    found = ecluse("audit", "verify", "--home", home, *held, "--json")
    assert found.code == 1
    assert by_log(found.document)[TO_FR]["reason"] == "held-tail-missing"


def test_a_second_root_of_one_size_is_an_equivocation(world: World, ecluse: Run, tmp_path: Path) -> None:
    """A head of the partner's log signed with its key, of a size we hold, with another root: exit code 1."""
    said = ecluse("audit", "checkpoint", "--held", "--home", world.stage.fr.path, "--json")
    head = parse(said.document["checkpoints"][-1]["note"].encode()).checkpoint
    key = load_pem_private_key((world.stage.be.signer / "keys" / "log.pem").read_bytes(), None)
    assert isinstance(key, Ed25519PrivateKey)
    note = tmp_path / "note"
    note.write_bytes(sign(Checkpoint(head.origin, head.size, bytes(32)), f"ecluse/{BE}", key))
    found = ecluse("audit", "verify", "--home", world.stage.fr.path, "--held", note, "--json")
    assert found.code == 1
    assert "equivocation" in {one["reason"] for one in found.document["held"]}


def test_a_proof_stands_alone(world: World, ecluse: Run) -> None:
    """The proof of the story's message leads from its entry to the root in a head signed with our log key."""
    from base64 import b64decode

    from gateway.audit.tree import InclusionProof, leaf_hash, verify_inclusion

    said = ecluse("audit", "prove", world.message, "--home", world.stage.be.path, "--json")
    assert said.code == 0
    (proof,) = said.document["proofs"]
    entry = b64decode(proof["entry"])
    assert json.loads(entry)["id"] == world.message
    head = parse(proof["checkpoint"].encode()).checkpoint
    hashes = tuple(b64decode(one) for one in proof["hashes"])
    verify_inclusion(InclusionProof(proof["index"], head.size, hashes), leaf_hash(entry), head.root)
    unknown = ecluse(
        "audit", "prove", "5f0c7f0e-6a0e-4a53-9d57-0f3c1c2b7a11", "--home", world.stage.be.path, "--json"
    )
    assert (unknown.code, unknown.document["error"]["code"]) == (2, "not-found")
