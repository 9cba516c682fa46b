"""A witness outside any gateway, such as a reviewer's laptop: its keys, and the last head of each log it vouched for.

Beside `provision` and the signer this module picks an adapter: key files.
"""

from __future__ import annotations

import fcntl
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Final, Literal

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from adapters.keys.file import read_bytes, replace_file, write_private
from gateway.audit.checkpoint import NoteSignature, VerifierKey, note, parse, verify
from gateway.audit.verify import LogSource, LogVerdict, verify_log
from gateway.audit.witness import WitnessKey, WitnessPrivateKey, cosign
from gateway.errors import AuditBroken, ConfigInvalid, Conflict

#: What ends a key in a PEM file (RFC 7468 §10).
_PEM_END: Final = b"-----END PRIVATE KEY-----\n"


class WitnessBook(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a witness remembers: its name, and of each log, by its origin, the last signed head that it cosigned."""

    v: Literal[1]
    name: str
    heads: dict[str, str] = {}


class Witness:
    """A witness of its own, outside any gateway: two keys in one file, and its book in another beside it.

    One process at a time holds it, so that no two heads are ever weighed against the same last one. Raises
    `ConfigInvalid` for files that are not so, `Conflict` while another process holds them.
    """

    def __init__(self, path: Path) -> None:
        blocks = read_bytes(path).split(_PEM_END)
        try:
            first, second = (load_pem_private_key(block + _PEM_END, None) for block in blocks[:-1])
            self.book = msgspec.json.decode(_book(path).read_bytes(), type=WitnessBook)
        except (ValueError, TypeError, UnsupportedAlgorithm, msgspec.MsgspecError, OSError):
            raise ConfigInvalid("a witness has a file with two keys, and its book beside it") from None
        if not isinstance(first, Ed25519PrivateKey) or not isinstance(second, MLDSA44PrivateKey):
            raise ConfigInvalid("a witness has an Ed25519 key and an ML-DSA-44 key, in this order")
        self.keys: tuple[WitnessPrivateKey, ...] = (first, second)
        self._path = path
        self._lock = path.open("rb")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._lock.close()
            raise Conflict("another process holds the witness's key") from None

    @classmethod
    def new(cls, path: Path, name: str) -> Witness:
        """Fresh keys (mode 0600, never over another file) and an empty book."""
        keys = (Ed25519PrivateKey.generate(), MLDSA44PrivateKey.generate())
        WitnessKey.of(name, keys[0])
        pem = (key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) for key in keys)
        write_private(_book(path), msgspec.json.encode(WitnessBook(1, name)))
        write_private(path, b"".join(pem))
        return cls(path)

    @property
    def public(self) -> tuple[WitnessKey, ...]:
        """What others verify its cosignatures with."""
        return tuple(WitnessKey.of(self.book.name, key) for key in self.keys)

    def close(self) -> None:
        """Let another process hold the keys."""
        self._lock.close()

    def remember(self, origin: str, note: str) -> None:
        """Make a head the last one of its log; durable once it returns, and only then it may be cosigned."""
        book = msgspec.structs.replace(self.book, heads={**self.book.heads, origin: note})
        replace_file(_book(self._path), msgspec.json.format(msgspec.json.encode(book)))
        self.book = book


def _book(path: Path) -> Path:
    return path.with_name(f"{path.name}.heads")


class Refused(msgspec.Struct, frozen=True):
    """Why a head was not cosigned. ``held`` is the last one cosigned, ``shown`` the one refused: together they are
    the evidence, for each bears the signature of the log."""

    log: str
    reason: str
    first_wrong_index: int | None
    held: str
    shown: str


class Cosigned(msgspec.Struct, frozen=True):
    """A head with the witness's cosignatures under the log's own signature."""

    log: str
    size: int
    note: str


def vouch(
    witness: Witness, source: LogSource, keys: Sequence[VerifierKey], *, now: datetime
) -> Cosigned | Refused:
    """Cosign the newest head of a log that is here whole, or say why not.

    (1) the log leads, entry by entry, to its newest signed head; (2) and on its way to the last head of it that this
    witness cosigned, if there is one: it grew from there, and nothing before was changed; (3) the head is made
    durable as the last one; (4) both keys cosign it. A first head is taken for what it is. Raises `AuditBroken` when
    the log's origin cannot be read.
    """
    held = witness.book.heads.get(source.origin, "")
    # (1), (2)
    verdict = verify_log(source, keys, held=[held.encode()] if held else [], ended=True)
    try:
        shown = list(source.checkpoints())[-1]
        head = verify(shown, keys, origin=verdict.origin)
    except (AuditBroken, IndexError):
        return _refused(verdict, verdict.reason or "checkpoint-invalid", held, b"")
    if verdict.status != "verified" or head.checkpoint.size != verdict.size:
        return _refused(verdict, verdict.reason or "unsealed", held, shown)
    # (3)
    signers = {(key.name, key.key_id) for key in head.signers}
    own = [line for line in parse(shown).signatures if (line.key_name, line.key_id) in signers]
    witness.remember(verdict.origin, note(head.checkpoint.body(), own).decode())
    # (4)
    lines: list[NoteSignature] = [
        cosign(head.checkpoint, witness.book.name, key, at=now) for key in witness.keys
    ]
    signed = note(head.checkpoint.body(), [*own, *lines])
    return Cosigned(verdict.origin, head.checkpoint.size, signed.decode())


def _refused(verdict: LogVerdict, reason: str, held: str, shown: bytes) -> Refused:
    return Refused(verdict.origin, reason, verdict.first_wrong_index, held, shown.decode(errors="replace"))
