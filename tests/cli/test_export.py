"""An export sealed to a body: its shares open it, nobody else's, and what comes out verifies."""

from __future__ import annotations

import io
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from gateway.cli.export import USE, Header, _unpacked
from gateway.errors import MalformedMessage
from gateway.flow.change import canonical
from gateway.wire import hpke
from gateway.wire.shares import split
from gateway.wire.strict import b64url
from tests.cli.conftest import Run, World

pytestmark = pytest.mark.integration


def in_force(world: World, ecluse: Run, folder: Path, body: str = "comite-r") -> Path:
    """A key of the body, made by its members, put in force by two persons of the house."""
    made = folder / "key"
    holders = ("--holder", "member one", "--holder", "member two", "--holder", "member three")
    assert ecluse("evidence", "oversight-key", *holders, "--out", made).code == 0
    propose = ("change", "propose", "oversight", body, made / "oversight.json")
    change = ecluse(*propose, *world.officer("be-requester")).document["id"]
    assert ecluse("change", "approve", change, "--yes", *world.officer("be-approver")).code == 0
    return made


def test_sealed_and_opened(world: World, ecluse: Run, tmp_path: Path) -> None:
    """One file; two shares of three open it; the folder verifies by the program inside, with nothing of ours."""
    home, file, out = ("--home", world.stage.be.path, "--json"), tmp_path / "export.sealed", tmp_path / "out"
    none = ecluse("audit", "export", "--sealed-to", "comite-r", "--out", file, *home)
    assert (none.code, none.document["error"]["code"]) == (2, "not-found")
    key = in_force(world, ecluse, tmp_path)
    said = ecluse("audit", "export", "--sealed-to", "comite-r", "--out", file, *home)
    assert said.code == 0, said.document
    assert file.stat().st_mode & 0o777 == 0o600
    assert b"checkpoint" not in file.read_bytes()
    assert not list(tmp_path.glob(".sealing-*"))
    opening = ("audit", "open", file, "--out", out, "--json")
    shares = ("--share", key / "share-1.txt", "--share", key / "share-3.txt")
    opened = ecluse(*opening, *shares)
    assert opened.code == 0, opened.document
    assert opened.document["body"] == "comite-r"
    keys = [word for one in said.document["keys"] for word in ("--key", one)]
    ran = subprocess.run([sys.executable, out / "verify.py", out, *keys], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ecluse(*opening, *shares).code == 2  # never over what is there
    again = ecluse("audit", "export", "--sealed-to", "comite-r", "--out", file, *home)
    assert (again.code, again.document["error"]["diagnostic"]["field"]) == (2, "out")


def test_no_other_key_and_no_other_header_opens_it(ecluse: Run, tmp_path: Path) -> None:
    """Another body's shares, or a header that says another body: 2, with nothing written."""
    seeds = [bytes([number]) * 32 for number in (1, 2)]
    header = canonical(Header("coc", "bel.example", USE))
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w") as archive:
        archive.writestr("a/b", b"x")
    sealed = hpke.encrypt(header, raw.getvalue(), b64url(hpke.kem_public_bytes(seeds[0])))
    file, out = tmp_path / "f", tmp_path / "out"
    for number, seed in enumerate(seeds):
        for name, share in enumerate(split(seed, 2, 2, lambda size: b"\x07" * size)):
            (tmp_path / f"{number}-{name}").write_text(share)

    def run(which: int) -> int:
        shares = [word for name in (0, 1) for word in ("--share", tmp_path / f"{which}-{name}")]
        return ecluse("audit", "open", file, *shares, "--out", out, "--json").code

    file.write_bytes(header + b"\n" + sealed)
    assert run(1) == 2
    file.write_bytes(header.replace(b"coc", b"dpo") + b"\n" + sealed)
    assert run(0) == 2
    file.write_bytes(b"{}\n" + sealed)
    assert run(0) == 2
    assert not out.exists()
    file.write_bytes(header + b"\n" + sealed)
    assert run(0) == 0
    assert (out / "a" / "b").read_bytes() == b"x"


@pytest.mark.parametrize("name", ["../x", "/x", "a/../../x", "a\\x"])
def test_no_file_leads_out(name: str) -> None:
    """Whoever knows the body's public key can seal to it."""
    raw = io.BytesIO()
    with zipfile.ZipFile(raw, "w") as archive:
        archive.writestr(name, b"x")
    with pytest.raises(MalformedMessage):
        _unpacked(raw.getvalue())
    with pytest.raises(MalformedMessage):
        _unpacked(b"no archive")
