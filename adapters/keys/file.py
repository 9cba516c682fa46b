"""Keys in files: mode 0600, written once, durable before they are used.

Signers, demo and offline folders keep their keys here; what these files protect against is other accounts of the
machine, not its administrator (docs/threats.md). Errors name neither the file nor its content: the caller knows which
file it asked for.
"""

from __future__ import annotations

import base64
import hashlib
import os
import secrets
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)

from gateway.errors import ConfigInvalid, Conflict, StoreUnavailable
from gateway.model.officer import OfficerKey

#: The two kinds of signature key this project keeps in PEM files.
PrivateKey = ec.EllipticCurvePrivateKey | Ed25519PrivateKey

MAX_KEY_FILE: Final = 16_384  # bytes; the largest key here (ML-DSA, expanded) is below 5,000

_FOR_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


# --- writing ---------------------------------------------------------------------------------------------------------


def replace_file(path: Path, data: bytes) -> None:
    """Put ``data`` at ``path`` (mode 0600) so that after any crash the old or the new content is there, whole.

    (1) a new file beside it  (2) its content on the disk  (3) the name moved over  (4) the folder on the disk.
    Durable once it returns; safe to repeat. Raises `StoreUnavailable`; the file then has its old or its new content.
    """
    _place(path, data, os.replace)


def write_bytes(path: Path, data: bytes, *, exclusive: bool = True) -> None:
    """Write a raw key (mode 0600), durable once it returns.

    Never over an existing file, which raises `Conflict`, unless ``exclusive`` is False. After a crash the file is
    whole or absent. Raises `StoreUnavailable` when it cannot be written.
    """
    _place(path, data, os.link if exclusive else os.replace)


def write_private(path: Path, key: bytes | PrivateKey, *, exclusive: bool = True) -> None:
    """Write a private key: raw bytes as they are, a key object as unencrypted PKCS #8 PEM. Else as `write_bytes`."""
    if not isinstance(key, bytes):
        key = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    write_bytes(path, key, exclusive=exclusive)


def overwrite(path: Path) -> None:
    """Put random bytes in the place of a key, on the disk once it returns. Raises `StoreUnavailable`."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        with os.fdopen(handle, "wb") as file:
            file.write(os.urandom(path.stat().st_size))
            file.flush()
            os.fsync(handle)
    except OSError:
        raise StoreUnavailable("a key cannot be overwritten") from None


def _place(path: Path, data: bytes, put: Callable[[Path, Path], object]) -> None:
    beside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        # (1)
        handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            # (2)
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(handle)
            put(beside, path)  # (3)
        finally:
            beside.unlink(missing_ok=True)
        # (4)
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except FileExistsError:
        raise Conflict("a file of this name exists already and is not overwritten") from None
    except OSError:
        raise StoreUnavailable("a file cannot be made durable") from None


# --- reading ---------------------------------------------------------------------------------------------------------


def read_bytes(path: Path, *, size: int | None = None, limit: int = MAX_KEY_FILE) -> bytes:
    """The content of a key file; ``size`` demands exactly that many bytes.

    (1) a regular file, no pipe or device  (2) owned by us or by root  (3) closed to group and others  (4) not empty and
    within ``limit`` bytes. All are asked of the open file, so it cannot be exchanged in between. A symbolic link is
    followed. Raises `ConfigInvalid`.
    """
    try:
        # Not blocking: a pipe in the place of a key must not stop us.
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with os.fdopen(handle, "rb") as file:
            found = os.fstat(handle)
            if not stat.S_ISREG(found.st_mode):  # (1)
                raise ConfigInvalid("a key file is not a regular file")
            if found.st_uid not in (0, os.geteuid()):  # (2)
                raise ConfigInvalid("a key file belongs to another account")
            if found.st_mode & _FOR_OTHERS:  # (3)
                raise ConfigInvalid("a key file is open to group or others: it needs mode 0600")
            data = file.read(limit + 1)
    except FileNotFoundError:
        raise ConfigInvalid("a key file does not exist") from None
    except OSError:
        raise ConfigInvalid("a key file cannot be read") from None
    # (4)
    if not data or len(data) > limit or size not in (None, len(data)):
        raise ConfigInvalid("a key file has the wrong length")
    return data


def read_private_pem(path: Path) -> PrivateKey:
    """The private key of an unencrypted PEM file: EC P-256 or Ed25519. Checks as `read_bytes`.

    Not checked: which use the key has; the caller's key records say that.
    """
    data = read_bytes(path)
    try:
        key = load_pem_private_key(data, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ConfigInvalid("a key file holds no unencrypted private key in PEM") from None
    if isinstance(key, Ed25519PrivateKey):
        return key
    if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, ec.SECP256R1):
        return key
    raise ConfigInvalid("a key file holds a key that is neither EC P-256 nor Ed25519")


# --- officers --------------------------------------------------------------------------------------------------------


def officer_key(public: ec.EllipticCurvePublicKey) -> OfficerKey:
    """The directory's form of an officer's public key: its id is the SHA-256 of its SubjectPublicKeyInfo."""
    spki = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return OfficerKey(kid=_base64url(hashlib.sha256(spki).digest()), public=_base64url(spki))


def officer_key_generate() -> tuple[ec.EllipticCurvePrivateKey, OfficerKey]:
    """A fresh ES256 key: the private half for the officer alone, the public one for the directory."""
    private = ec.generate_private_key(ec.SECP256R1())
    return private, officer_key(private.public_key())


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")
