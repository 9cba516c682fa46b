"""Key files: ours alone, whole or absent, never overwritten unasked, and only the keys this project uses."""

from __future__ import annotations

import base64
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed448, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_der_public_key,
)

from adapters.keys.file import (
    MAX_KEY_FILE,
    PrivateKey,
    officer_key,
    officer_key_generate,
    read_bytes,
    read_private_pem,
    replace_file,
    write_bytes,
    write_private,
)
from gateway.errors import ConfigInvalid, Conflict, StoreUnavailable

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a key goes, in a folder of its own."""
    return tmp_path / "key"


@pytest.mark.parametrize(
    "key", [ec.generate_private_key(ec.SECP256R1()), Ed25519PrivateKey.generate()], ids=["p256", "ed25519"]
)
def test_private_keys_come_back(path: Path, key: PrivateKey) -> None:
    """A P-256 or Ed25519 key read from its file has the same public half; the file has mode 0600 whatever the umask."""
    before = os.umask(0)
    try:
        write_private(path, key)
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o600
    assert read_private_pem(path).public_key() == key.public_key()
    assert [file.name for file in path.parent.iterdir()] == ["key"]


def test_raw_keys_come_back(path: Path) -> None:
    """Raw bytes come back as they were; another length than the one demanded is refused."""
    write_private(path, b"\x00" * 32)
    assert read_bytes(path, size=32) == b"\x00" * 32
    assert read_bytes(path) == b"\x00" * 32
    for size in (31, 33, 0):
        with pytest.raises(ConfigInvalid):
            read_bytes(path, size=size)


def test_nothing_is_overwritten_unasked(path: Path) -> None:
    """A second write is a `Conflict` and leaves the first key; not exclusive, it replaces it."""
    write_bytes(path, b"first")
    for write in (write_bytes, write_private):
        with pytest.raises(Conflict):
            write(path, b"second")
    assert read_bytes(path) == b"first"
    write_bytes(path, b"third", exclusive=False)
    replace_file(path, b"fourth")
    assert read_bytes(path) == b"fourth"
    assert [file.name for file in path.parent.iterdir()] == ["key"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o610, 0o601, 0o660, 0o644, 0o777])
def test_a_file_open_to_others_is_refused(path: Path, mode: int) -> None:
    """Any right of group or others is too much, for raw keys and for PEM."""
    write_private(path, ec.generate_private_key(ec.SECP256R1()))
    path.chmod(mode)
    for read in (read_bytes, read_private_pem):
        with pytest.raises(ConfigInvalid, match="open to group or others"):
            read(path)


def test_what_is_no_file_is_refused(path: Path) -> None:
    """No file, a folder, a pipe that nobody writes to, a device: refused at once."""
    with pytest.raises(ConfigInvalid, match="does not exist"):
        read_bytes(path)
    path.mkdir(0o700)
    with pytest.raises(ConfigInvalid):
        read_bytes(path)
    path.rmdir()
    os.mkfifo(path, 0o600)
    with pytest.raises(ConfigInvalid, match="regular file"):
        read_bytes(path)
    with pytest.raises(ConfigInvalid, match="regular file"):
        read_bytes(Path("/dev/null"))


def test_another_account_s_file_is_refused(path: Path) -> None:
    """A key that belongs to somebody else, who could change it, is refused."""
    write_bytes(path, b"key")
    if os.geteuid() != 0:
        pytest.skip("needs root to give a file away")
    os.chown(path, 12345, -1)
    with pytest.raises(ConfigInvalid, match="another account"):
        read_bytes(path)


@pytest.mark.parametrize("length", [0, MAX_KEY_FILE + 1])
def test_a_file_of_no_key_s_length_is_refused(path: Path, length: int) -> None:
    """Empty and oversized files are refused; the largest length allowed is not."""
    write_bytes(path, bytes(length))
    with pytest.raises(ConfigInvalid, match="length"):
        read_bytes(path)
    write_bytes(path, bytes(MAX_KEY_FILE), exclusive=False)
    assert len(read_bytes(path)) == MAX_KEY_FILE


def pem(
    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed448.Ed448PrivateKey, password: bytes = b""
) -> bytes:
    encryption = BestAvailableEncryption(password) if password else NoEncryption()
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption)


@pytest.mark.parametrize(
    "content",
    [
        pem(ec.generate_private_key(ec.SECP384R1())),
        pem(ec.generate_private_key(ec.SECP256K1())),
        pem(rsa.generate_private_key(65537, 2048)),
        pem(ed448.Ed448PrivateKey.generate()),
        pem(ec.generate_private_key(ec.SECP256R1()), b"password"),
        ec.generate_private_key(ec.SECP256R1())
        .public_key()
        .public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        b"-----BEGIN PRIVATE KEY-----\nZzemo\n-----END PRIVATE KEY-----\n",
        b"Zzemo",
    ],
    ids=["p384", "secp256k1", "rsa", "ed448", "encrypted", "public", "broken", "text"],
)
def test_other_content_is_refused(path: Path, content: bytes) -> None:
    """Other curves and algorithms, encrypted, public and broken keys are `ConfigInvalid`, which quotes nothing."""
    write_bytes(path, content)
    with pytest.raises(ConfigInvalid) as caught:
        read_private_pem(path)
    assert "Zzemo" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_a_write_that_fails_leaves_the_old_file(path: Path) -> None:
    """When the disk takes no more, the old content stays whole, nothing half-written is left beside it."""
    write_bytes(path, b"old")
    program = (
        "import resource, sys; from pathlib import Path; from adapters.keys.file import replace_file;"
        "from gateway.errors import StoreUnavailable\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n"
        "try: replace_file(Path(sys.argv[1]), bytes(200))\n"
        "except StoreUnavailable: sys.exit(3)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program, str(path)], cwd=ROOT, capture_output=True, check=False
    )
    assert ended.returncode == 3, ended.stderr
    assert read_bytes(path) == b"old"
    assert [file.name for file in path.parent.iterdir()] == ["key"]


def test_no_folder(tmp_path: Path) -> None:
    """A folder that does not exist is not made: `StoreUnavailable`."""
    with pytest.raises(StoreUnavailable):
        write_bytes(tmp_path / "none" / "key", b"key")


def test_officer_keys() -> None:
    """A fresh key is P-256; its directory form holds the public half, and its id is the half's SHA-256."""
    private, entry = officer_key_generate()
    assert entry == officer_key(private.public_key())
    assert entry != officer_key_generate()[1]
    spki = base64.urlsafe_b64decode(entry.public + "=" * (-len(entry.public) % 4))
    assert load_der_public_key(spki) == private.public_key()
    assert base64.urlsafe_b64decode(entry.kid + "=") == hashlib.sha256(spki).digest()
    assert "=" not in entry.kid + entry.public
    assert isinstance(private.curve, ec.SECP256R1)
    assert not entry.revoked
