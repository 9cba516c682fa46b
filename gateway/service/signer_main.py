"""The signer process's own wiring: key files and trust, and nothing that knows a network or a database."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.mldsa import MLDSA44PrivateKey

import schemas
from adapters.keys.file import overwrite, read_bytes, read_private_pem, replace_file, write_bytes
from gateway.errors import AuditBroken, ConfigInvalid
from gateway.model.kind import RecordKind, load_kind
from gateway.model.party import KeyRecord
from gateway.policy.levels import default_levels
from gateway.service.home import Home, OwnerLock
from gateway.service.signer import process
from gateway.service.signer.authority import Authority, system_now
from gateway.service.signer.confine import close_exits
from gateway.service.signer.keks import Keeping, Keks
from gateway.service.signer.keys import SignerKeys
from gateway.service.signer.trust import Trust, TrustFile
from gateway.wire import mldsa
from gateway.wire.hpke import kem_private

#: Seconds to wait for the last signer of this home to end.
HANDOVER_S = 5.0

RECORD_KINDS = (
    "records/bdc-person/1.0.json",
    "records/consent-request/1.0.json",
    "records/information-note/1.0.json",
    "records/information-request/1.0.json",
    "records/sanctions-entry/1.0.json",
)


def kinds() -> dict[str, RecordKind]:
    """Every record kind that is shipped."""
    return {kind.name: kind for kind in (load_kind(schemas.load_json(name)) for name in RECORD_KINDS)}


def load_signer_keys(home: Home) -> SignerKeys:
    """Read the signer's key files; a file others may read, or one that is missing, is `ConfigInvalid`."""
    folder = home.signer / "keys"
    trust = msgspec.json.decode((home.signer / "trust.json").read_bytes(), type=Trust)
    epoch = len(trust.epochs) + 1
    message, receipt, jwe, head, witness = (
        read_private_pem(folder / f"{name}.pem")
        for name in ("message", "receipt", "encryption-jwe", log_key_file(epoch), "witness")
    )
    if not (
        isinstance(message, EllipticCurvePrivateKey)
        and isinstance(receipt, EllipticCurvePrivateKey)
        and isinstance(jwe, EllipticCurvePrivateKey)
    ):
        raise ConfigInvalid("the keys for messages, receipts and JWE must be P-256")
    if not isinstance(head, Ed25519PrivateKey) or not isinstance(witness, Ed25519PrivateKey):
        raise ConfigInvalid("the log key, and the one for cosignatures, must be Ed25519")
    records = msgspec.json.decode((home.signer / "public.json").read_bytes(), type=tuple[KeyRecord, ...])
    return SignerKeys(
        message=message,
        message_mldsa=mldsa.private_key(read_bytes(folder / "message-mldsa.bin")),
        receipt=receipt,
        encryption=kem_private(read_bytes(folder / "encryption.bin")),
        encryption_jwe=jwe,
        log=head,
        witness=witness,
        witness_mldsa=MLDSA44PrivateKey.from_seed_bytes(
            read_bytes(folder / "witness-mldsa.bin", size=mldsa.SEED_BYTES)
        ),
        keks=_keks(home),
        index_key=read_bytes(folder / "index.bin"),
        pseudonym_key=read_bytes(folder / "pseudonym.bin"),
        find_key=read_bytes(folder / "find.bin"),
        records=records,
        epoch=epoch,
    )


def _keks(home: Home) -> Keks:
    """The wrapping keys, one file a generation beside the list. A key is overwritten before its name goes; what a disk
    keeps of it elsewhere is the disk's (docs/threats.md)."""
    folder = home.signer / "keys"

    def path(number: int) -> Path:
        return folder / f"kek-{number}.bin"

    def destroy(number: int) -> None:
        if path(number).exists():
            overwrite(path(number))
            path(number).unlink()

    found = {int(one.stem.removeprefix("kek-")): read_bytes(one) for one in folder.glob("kek-*.bin")}
    keeping = Keeping(
        add=lambda number, key: write_bytes(path(number), key, exclusive=False),
        destroy=destroy,
        write=lambda raw: replace_file(home.signer / "keks.json", raw),
    )
    return Keks(_kept(home, "keks"), found, keeping)


def log_key_file(epoch: int) -> str:
    """The name, without its ending, of the file of an epoch's log key."""
    return "log" if epoch == 1 else f"log-{epoch}"


def _kept(home: Home, name: str) -> bytes:
    try:
        raw = (home.signer / f"{name}.json").read_bytes()
    except OSError:
        raw = b""
    if not raw:
        raise AuditBroken(
            f"the signer's file {name}.json is missing or empty", diagnostic={"rule": f"{name}-missing"}
        )
    return raw


def run_signer(home: Home) -> None:
    """The signer process: load keys and trust, serve the socket until the parent's pipe closes.

    Raises `AuditBroken` without its files of heads, of single signatures and of heads it cosigned: `init` wrote them,
    and a signer that forgot what it signed would sign, or vouch for, a second history, or sign a further emergency.

    A signer whose gateway was killed ends with its current operation; its successor waits for that, so that two never
    write the same heads.
    """
    close_exits()
    OwnerLock(home.signer / "owner.lock", patience_s=HANDOVER_S)

    def replace(name: str, data: bytes) -> None:
        replace_file(home.signer / name, data)

    trust = TrustFile(
        (home.signer / "trust.json").read_bytes(),
        _kept(home, "heads"),
        replace,
        _kept(home, "alone"),
        _kept(home, "witnessed"),
    )
    authority = Authority(
        load_signer_keys(home), trust, kinds=kinds(), levels=default_levels(), now=system_now
    )
    asyncio.run(process.serve(authority, home.signer_socket, ready=lambda: print("ready", flush=True)))
