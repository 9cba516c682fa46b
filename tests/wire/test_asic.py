"""ASiC-E containers: what is written opens with unzip and openssl, and what was changed does not read."""

import io
import shutil
import subprocess
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.errors import MalformedMessage, RequestInvalid
from gateway.wire import asic
from gateway.wire.jws import thumbprint

AT = datetime(2026, 11, 21, 12, tzinfo=UTC)
FIRST, SECOND = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
FILES = {"cover.txt": b"what it proves\n", "messages/one/payload.json": b"{}", "messages/two/empty.json": b""}
ONE = asic.seal(FILES, FIRST, "be-reviewer", AT)
TWO = asic.countersign(ONE, SECOND, "be-approver", AT)


def rezipped(container: bytes, **changed: bytes | None) -> bytes:
    """The container with files replaced, added or (None) left out; ``/`` is written as ``__``."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(container)) as old, zipfile.ZipFile(out, "w") as new:
        wanted = {name.replace("__", "/"): raw for name, raw in changed.items()}
        for name in [*old.namelist(), *(wanted.keys() - {*old.namelist()})]:
            raw = wanted.get(name, b"") if name in wanted else old.read(name)
            if raw is not None:
                new.writestr(name, raw)
    return out.getvalue()


def test_what_is_sealed_reads_the_same() -> None:
    """Files, signers in order, their keys and times; the same inputs give the same bytes."""
    files, signatures = asic.read(TWO)
    assert files == FILES
    assert [(one.signer, one.thumbprint, one.at) for one in signatures] == [
        ("be-reviewer", thumbprint(FIRST.public_key()), AT),
        ("be-approver", thumbprint(SECOND.public_key()), AT),
    ]
    assert asic.seal(FILES, FIRST, "be-reviewer", AT) == ONE
    assert ONE[30:38] == b"mimetype"
    assert ONE[38 : 38 + len(asic.MIMETYPE)] == asic.MIMETYPE


@pytest.mark.integration
@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")
def test_strangers_tools_open_and_verify_it(tmp_path: Path) -> None:
    """unzip (or Python's, where it is not installed), and openssl with -cades: each signature over its manifest; over a
    manifest with one digit changed it fails."""
    with zipfile.ZipFile(io.BytesIO(TWO)) as packed:
        packed.extractall(tmp_path)
    for number in ("1", "2"):
        signature, signer = f"META-INF/signature{number}.p7s", f"signer{number}.pem"
        manifest = tmp_path / f"META-INF/ASiCManifest{number}.xml"
        shown = ["openssl", "pkcs7", "-inform", "DER", "-in", signature, "-print_certs", "-out", signer]
        subprocess.run(shown, cwd=tmp_path, check=True)
        checked = ["openssl", "cms", "-verify", "-binary", "-cades", "-inform", "DER", "-in", signature]
        checked += ["-content", str(manifest), "-CAfile", signer, "-purpose", "any", "-out", "out"]
        assert subprocess.run(checked, cwd=tmp_path, capture_output=True).returncode == 0
        manifest.write_bytes(manifest.read_bytes().replace(b"cover", b"caver"))
        assert subprocess.run(checked, cwd=tmp_path, capture_output=True).returncode != 0


@pytest.mark.parametrize(
    "changed",
    [
        {"cover.txt": b"what it proves!\n"},
        {"cover.txt": None},
        {"more.txt": b"more"},
        {"META-INF__ASiCManifest1.xml": None},
        {"META-INF__signature1.p7s": None},
        {"META-INF__signature1.p7s": b"0\x00"},
        {"META-INF__more.xml": b"<a/>"},
        {"mimetype": b"application/zip"},
        {"..__up.txt": b"up"},
        {"__etc__passwd": b"root"},
    ],
)
def test_another_container_is_refused(changed: dict[str, bytes | None]) -> None:
    """A file changed, gone or added, a signature or manifest gone, names that lead out."""
    with pytest.raises(MalformedMessage):
        asic.read(rezipped(ONE, **changed))


def test_a_signature_of_other_files_is_none() -> None:
    """Manifest and signature of another container do not fit these files."""
    other = asic.seal({"cover.txt": b"another\n"}, FIRST, "be-reviewer", AT)
    with zipfile.ZipFile(io.BytesIO(other)) as packed:
        taken = {"META-INF__signature1.p7s": packed.read("META-INF/signature1.p7s")}
    with pytest.raises(MalformedMessage):
        asic.read(rezipped(ONE, **taken))


@given(st.data())
@settings(max_examples=200)
def test_a_changed_byte_changes_nothing_or_is_refused(data: st.DataObject) -> None:
    """Whatever byte is turned: the container reads as it was, or not at all."""
    place = data.draw(st.integers(0, len(TWO) - 1))
    turned = bytearray(TWO)
    turned[place] ^= 1 << data.draw(st.integers(0, 7))
    try:
        read = asic.read(bytes(turned))
    except MalformedMessage:
        return
    assert read == asic.read(TWO)


@given(st.binary(max_size=400))
def test_bytes_that_are_no_container(raw: bytes) -> None:
    """Anything else is refused as malformed, never with another error."""
    with pytest.raises(MalformedMessage):
        asic.read(raw)
    with pytest.raises(MalformedMessage):
        asic.read(ONE[: len(ONE) // 2] + raw)


def test_limits() -> None:
    """Nothing, a bad name, too much when unpacked; and nobody signs twice."""
    for files in ({}, {"../up": b""}, {"mimetype": b""}, {"META-INF/x": b""}, {"a b": b""}):
        with pytest.raises(RequestInvalid):
            asic.seal(files, FIRST, "be-reviewer", AT)
    with pytest.raises(RequestInvalid):
        asic.countersign(ONE, FIRST, "be-reviewer", AT)
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("mimetype", asic.MIMETYPE)
        for number in range(6):
            packed.writestr(f"zeros{number}", bytes(100 * 1024 * 1024))
    with pytest.raises(MalformedMessage):
        asic.read(bomb.getvalue())
