"""The verifier that stands alone, beside its twin in the gateway, and against whoever edits."""

import ast
import base64
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.audit import tree
from gateway.audit.checkpoint import Checkpoint, NoteSignature, note
from gateway.audit.export import ExportSource, write_export
from gateway.audit.verify import verify_log
from gateway.reviewer import verify
from tests.audit.logs import KEY_NAME, LOG_KEY, LOG_VKEY, MASTER_ORIGIN, ORIGIN, MemoryLog, entry

FILE = Path(verify.__file__)

#: RFC 8032 section 7.1: public key, message, signature.
RFC8032 = (
    (
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        (
            "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46b"
            "d25bf5f0595bbe24655141438e7a100b"
        ),
    ),
    (
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        (
            "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c"
            "387b2eaeb4302aeeb00d291612bb0c00"
        ),
    ),
)

LOG = MemoryLog.of([1, 3, 300, 40], origin=MASTER_ORIGIN)
FILES = dict(write_export(LOG))


def written(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def checked(
    folder: Path, *, held: tuple[bytes, ...] = (), key: str = LOG_VKEY.encode(), witness: str = ""
) -> Any:
    witnesses = [verify.Key(witness)] if witness else []
    check = verify.Check([verify.Key(key)], witnesses, [verify.Note(raw) for raw in held])
    return check.run(verify.Log(folder))


def test_it_stands_alone() -> None:
    """One file of at most 400 lines that imports the standard library only."""
    source = FILE.read_text(encoding="utf-8")
    assert source.count("\n") <= 400
    for found in ast.walk(ast.parse(source)):
        names = [alias.name for alias in found.names] if isinstance(found, ast.Import) else []
        names += [found.module or ""] if isinstance(found, ast.ImportFrom) else []
        assert {name.partition(".")[0] for name in names} <= sys.stdlib_module_names


@pytest.mark.parametrize(("public", "message", "signature"), RFC8032)
def test_signatures_of_the_rfc(public: str, message: str, signature: str) -> None:
    """The vectors of RFC 8032 hold, and none of them with a bit turned or with s beyond the group's order."""
    key, said, signed = (bytes.fromhex(text) for text in (public, message, signature))
    assert verify.ed25519_holds(key, signed, said)
    assert not verify.ed25519_holds(key, signed, said + b"x")
    assert not verify.ed25519_holds(key, bytes([signed[0] ^ 1]) + signed[1:], said)
    high = (int.from_bytes(signed[32:], "little") + verify.ORDER).to_bytes(32, "little")
    assert not verify.ed25519_holds(key, signed[:32] + high, said)


@given(st.binary(max_size=80), st.integers(0, 95), st.integers(0, 255))
@settings(max_examples=25)
def test_signatures_are_judged_as_a_library_judges_them(message: bytes, place: int, flip: int) -> None:
    """Key and signature, with a byte turned or none: both say the same."""
    private = Ed25519PrivateKey.generate()
    public, raw = private.public_key().public_bytes_raw(), bytearray(private.sign(message))
    key = bytearray(public)
    (key if place < 32 else raw)[place % 32 + (0 if place < 64 else 32)] ^= flip if place >= 32 or flip else 0
    honest = bytes(key) == public and bytes(raw) == private.sign(message)
    assert verify.ed25519_holds(bytes(key), bytes(raw), message) is honest


def test_inclusion_as_the_log_proves_it() -> None:
    """Each proof of each tree up to 40 leaves holds, and with anything about it changed it does not."""
    for size in range(1, 41):
        log = MemoryLog.of([size])
        root = tree.root(size, log.tiles)
        for index in range(size):
            proof = tree.inclusion_proof(index, size, log.tiles)
            leaf = verify.sha256(verify.LEAF, entry(index))
            path = list(proof.hashes)
            assert verify.inclusion_holds(index, size, leaf, path, root)
            assert not verify.inclusion_holds(index, size, leaf, [*path, root], root)
            assert not verify.inclusion_holds(index, size, leaf, path, leaf if size > 1 else b"")
            assert not verify.inclusion_holds(size, size, leaf, path, root)
            assert not path or not verify.inclusion_holds(index, size, leaf, path[:-1], root)


def test_consistency_as_the_log_proves_it() -> None:
    """Each pair of sizes up to 24: the proof holds, and not with a hash more or less, or the roots exchanged."""
    log = MemoryLog.of([24])
    roots = {size: tree.root(size, log.tiles) for size in range(1, 25)}
    for second in range(1, 25):
        for first in range(1, second + 1):
            path = list(tree.consistency_proof(first, second, log.tiles).hashes) if first < second else []
            said = (first, second, path, roots[first], roots[second])
            assert verify.consistency_holds(*said)
            assert not verify.consistency_holds(first, second, [*path, roots[1]], *said[3:])
            if first < second:
                assert not verify.consistency_holds(first, second, path, roots[second], roots[first])
                assert not verify.consistency_holds(second, first, path, *said[3:])
            if path:
                assert not verify.consistency_holds(first, second, path[1:], *said[3:])
    assert not verify.consistency_holds(0, 5, [], verify.sha256(), roots[5])


def test_an_export_is_proven(tmp_path: Path) -> None:
    """Whole, signed to the end, by whom and how often; nobody outside vouches for it."""
    check = checked(written(tmp_path, FILES))
    assert (check.fault, check.first_wrong_index, check.log) == ("", None, MASTER_ORIGIN)
    assert (check.entries, check.signed_up_to, check.witnessed_up_to) == (344, 344, 0)
    assert check.acts == {"be-requester": {"decision": 344}}
    assert "UNWITNESSED since index 0" in str(check)


def test_who_holds_a_head_outside_is_a_witness(tmp_path: Path) -> None:
    """Up to its size; and a head of another history shows where the histories may part."""
    folder = written(tmp_path, FILES)
    assert checked(folder, held=(LOG.notes[2],)).witnessed_up_to == 304
    other = MemoryLog.of([1, 3, 300, 40], tale="another", tale_from=10, origin=MASTER_ORIGIN)
    check = checked(folder, held=(LOG.notes[1], other.notes[2]))
    assert (check.fault, check.first_wrong_index) == ("a head has another root", 4)
    longer = MemoryLog.of([1, 3, 300, 40, 9], origin=MASTER_ORIGIN)
    assert checked(folder, held=(longer.notes[-1],)).fault == "a head knows of more entries than are there"


def test_a_cosignature_vouches(tmp_path: Path) -> None:
    """C2SP tlog-cosignature v1: over the time and the head; with another time it vouches for nothing."""
    private, name = Ed25519PrivateKey.generate(), "reviewer.example"
    tagged = b"\x04" + private.public_key().public_bytes_raw()
    key_id = verify.sha256(name.encode(), b"\n", tagged)[:4]
    key = f"{name}+{key_id.hex()}+{base64.b64encode(tagged).decode()}"
    head = Checkpoint(MASTER_ORIGIN, LOG.size, tree.root(LOG.size, LOG.tiles))
    body = head.body()
    signed = private.sign(b"cosignature/v1\ntime 1795996800\n" + body.encode())
    ours = NoteSignature(KEY_NAME, LOG_VKEY.key_id, LOG_KEY.sign(body.encode()))
    for at, vouched in ((1795996800, 344), (1795996801, 0)):
        line = NoteSignature(name, key_id, at.to_bytes(8, "big") + signed)
        cosigned = note(body, [ours, line])
        folder = written(tmp_path / str(at), {**FILES, "checkpoint": cosigned, "checkpoints/344": cosigned})
        check = checked(folder, witness=key)
        assert (check.fault, check.witnessed_up_to) == ("", vouched)


def test_another_key_proves_nothing(tmp_path: Path) -> None:
    """A head signed by nobody we know, or by a key of another organisation."""
    stranger = MemoryLog.of([4], origin=MASTER_ORIGIN)
    stranger.key = Ed25519PrivateKey.generate()
    stranger.notes = [stranger.seal()]
    folder = written(tmp_path, dict(write_export(stranger)))
    assert checked(folder).fault == "a head is not signed by a key given"


@given(st.data())
@settings(max_examples=150)
def test_an_edit_is_found_as_the_gateway_finds_it(data: Any) -> None:
    """Any byte of any file turned, cut off, doubled or dropped: neither verifier proves the log whole, or both do."""
    files = dict(FILES)
    name = data.draw(st.sampled_from(sorted(files)))
    raw = files[name]
    place = data.draw(st.integers(0, len(raw) - 1))
    edit = data.draw(st.sampled_from(("flip", "cut", "double", "drop")))
    if edit == "drop":
        del files[name]
    else:
        turned = bytes([raw[place] ^ (1 << data.draw(st.integers(0, 7)))])
        files[name] = {
            "flip": raw[:place] + turned + raw[place + 1 :],
            "cut": raw[:place],
            "double": raw[:place] + raw[place : place + 1] + raw[place:],
        }[edit]
    theirs = verify_log(ExportSource(files), [LOG_VKEY]) if "checkpoint" in files else None
    if theirs is None:
        return
    with memory(files) as folder:
        ours = checked(folder)
    assert (ours.fault == "") is (theirs.status == "verified")
    if theirs.first_wrong_index is not None and theirs.first_wrong_index == theirs.last_wrong_index:
        assert ours.first_wrong_index in (theirs.first_wrong_index, None)


class memory:
    """The files in a folder for a moment."""

    def __init__(self, files: dict[str, bytes]) -> None:
        self._folder, self._files = tempfile.TemporaryDirectory(), files

    def __enter__(self) -> Path:
        return written(Path(self._folder.name), self._files)

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()


@pytest.mark.integration
def test_it_runs_by_itself(tmp_path: Path) -> None:
    """Copied anywhere, with an isolated interpreter: 0 for a whole log, 1 for a spoilt and for a missing one, 2 for a
    key that is none; as JSON too."""
    program = tmp_path / "verify.py"
    program.write_bytes(FILE.read_bytes())
    folder = written(tmp_path / "whole", FILES)

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-I", str(program), *arguments], capture_output=True, text=True
        )

    key = ("--key", LOG_VKEY.encode())
    whole = run(str(folder), *key, "--json")
    assert (whole.returncode, '"proven": true' in whole.stdout) == (0, True)
    assert run(str(folder)).returncode == 1
    assert run(str(folder), "--key", "nonsense").returncode == 2
    held = tmp_path / "held"
    held.write_bytes(MemoryLog.of([2], origin=ORIGIN).notes[0])
    missing = run(str(folder), *key, "--held", str(held))
    assert (missing.returncode, f"{ORIGIN}\n  verdict    MISSING" in missing.stdout) == (1, True)
    (folder / "tile" / "0" / "000").write_bytes(bytes(8192))
    spoilt = run(str(folder), *key)
    assert (spoilt.returncode, "first at index 0" in spoilt.stdout) == (1, True)


def test_a_signature_line_holds_a_key_id_and_something() -> None:
    """Fewer bytes are no signature line (C2SP signed-note), whoever they are said to be of: the note is refused, as the
    gateway's verifier refuses it."""
    body, _, tail = LOG.notes[0].decode().partition("\n\n")
    name = tail.split(" ")[1]
    for short in ("41GR", "41GRdw=="):
        with pytest.raises(ValueError, match="signature line"):
            verify.Note(f"{body}\n\n\u2014 {name} {short}\n{tail}".encode())
