"""`ecluse evidence`: packs for those who oversee us, and the key that what was withheld is sealed to."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from gateway.cli.shared import (
    DONE,
    NEGATIVE,
    Acting,
    Answer,
    Place,
    acting,
    group,
    local,
    named,
    read_file,
    table,
    write_file,
    write_secret,
)
from gateway.errors import AuditBroken, GatewayError, MalformedMessage, RequestInvalid
from gateway.model.time import rfc3339

if TYPE_CHECKING:
    from gateway.audit.checkpoint import VerifierKey

commands = group("Evidence packs (ASiC-E) for oversight bodies and courts, and the oversight key.")

PackFile = Annotated[Path, typer.Argument(metavar="PACK", help="An .asice file.")]
Out = Annotated[Path, typer.Option("--out", help="File to write; never over an existing one.")]


@acting(commands, "pack")
async def pack(
    on: Acting,
    messages: Annotated[
        list[str], typer.Argument(metavar="MESSAGE...", help="Release id, message id, or ORG/ID.")
    ],
    body: Annotated[str, typer.Option("--for", help="comite-p, comite-r, coc or court.")],
    authority: Annotated[str, typer.Option("--authority", help="Reference of what entitles the body to it.")],
    out: Out,
    court: Annotated[str, typer.Option("--court", help="Organisation id of the court.")] = "",
) -> Answer:
    """Put a pack together and sign it with the reviewer's key. The read of everything in it is an entry.

    For a court: exit code 1 and no file while an item is classified, under handling code H1 or its originator's
    control, and the consent of every originator toward this court for court-proceedings is not recorded
    (`ecluse ground record`). Officers are numbers there.
    """
    from gateway.service.app import now
    from gateway.service.calls.evidence import Body, MakePack, PackView
    from gateway.wire.asic import seal

    try:
        for_body = msgspec.convert(body, Body)
    except msgspec.ValidationError:
        raise RequestInvalid(
            "--for is comite-p, comite-r, coc or court", diagnostic={"field": "for"}
        ) from None
    if out.exists():
        raise RequestInvalid("the file exists already and is not overwritten", diagnostic={"field": "out"})
    params = MakePack(tuple(messages), for_body, authority, court)
    view: PackView = await on.desk.call("evidence/pack", params, PackView)
    if view.blocked:
        rows = [(one.message, one.pointer, one.rule, " ".join(one.originators)) for one in view.blocked]
        text = [table(("message", "item", "rule", "consent of"), rows), "nothing is written"]
        return Answer({"blocked": view.blocked}, text, NEGATIVE)
    identity = on.desk.identity
    signer = f"officer {identity.kid}" if for_body == "court" else identity.officer
    container = seal(view.files, identity.key, signer, now())
    write_secret(out, container)
    digest = hashlib.sha256(container).hexdigest()
    document = {
        "pack": str(out),
        "sha256": digest,
        "files": len(view.files),
        "withheld": view.withheld,
        "not_covered": view.not_covered,
        "signer_kid": identity.kid,
    }
    text = [f"{out}: {len(view.files)} files, sha256 {digest}", f"signed with the key {identity.kid}"]
    text += [f"not covered: {code}" for code in view.not_covered]
    return Answer(document, text)


@acting(commands, "countersign")
async def countersign(on: Acting, file: PackFile, out: Out) -> Answer:
    """Add the signature of a second person to a pack whose signatures hold, in a new file."""
    from gateway.service.app import now
    from gateway.wire import asic

    container = read_file(file, limit=asic.MAX_BYTES)
    files, signatures = _read(file, container)
    hidden = signatures[0].signer.startswith("officer ")
    identity = on.desk.identity
    signer = f"officer {identity.kid}" if hidden else identity.officer
    signed = asic.countersign(container, identity.key, signer, now())
    write_secret(out, signed)
    document = {
        "pack": str(out),
        "sha256": hashlib.sha256(signed).hexdigest(),
        "signatures": len(signatures) + 1,
    }
    return Answer(document, [f"{out}: {len(files)} files, {len(signatures) + 1} signatures"])


@local(commands, "verify")
def verify(
    place: Place,
    file: PackFile,
    key: Annotated[
        list[str] | None, typer.Option("--key", help="Log key (C2SP vkey), got another way than the pack.")
    ] = None,
) -> Answer:
    """Check a pack offline; no home is needed. Exit code 1 when something does not hold.

    \b
    (1) every signature holds over every file; (2) each message has its entry, of its id, which commits to the payload,
    opened with the salt beside it; (3) each entry stands under a head of the log, signed with a --key, or without one
    with a key that the pack itself names, which proves nothing about whose it is.

    \b
    Not checked: seals and receipts, for which the keys of their signers are needed, and whose the signers' keys are.
    """
    from gateway.audit.checkpoint import VerifierKey
    from gateway.wire.asic import MAX_BYTES

    container = read_file(file, limit=MAX_BYTES)
    try:
        files, signatures = _read(file, container)
    except MalformedMessage as fault:
        document = {
            "holds": False,
            "fault": fault.detail,
            "signatures": [],
            "entries": [],
            "keys_given": bool(key),
        }
        return Answer(document, [fault.detail, "does NOT hold"], NEGATIVE)
    keys = [VerifierKey.parse(text) for text in key or ()]
    checks = list(_checks(files, keys or _keys_inside(files)))
    held = all(not one["fault"] for one in checks) and bool(checks)
    signers = [{"signer": one.signer, "kid": one.thumbprint, "at": rfc3339(one.at)} for one in signatures]
    text: list[Any] = [table(("signer", "key", "at"), [tuple(one.values()) for one in signers])]
    text.append(table(("file", "log", "entry", "fault"), [tuple(one.values()) for one in checks]))
    if not keys:
        text.append("log keys are those of the pack itself: compare them with the service's, or give --key")
    text.append("holds" if held else "does NOT hold")
    return Answer(
        {"holds": held, "fault": "", "signatures": signers, "entries": checks, "keys_given": bool(keys)},
        text,
        DONE if held else NEGATIVE,
    )


def _read(file: Path, container: bytes) -> tuple[dict[str, bytes], Sequence[Any]]:
    from gateway.wire.asic import read

    with named(file):
        return read(container)


def _keys_inside(files: dict[str, bytes]) -> "list[VerifierKey]":
    from gateway.audit.checkpoint import VerifierKey
    from gateway.wire.strict import b64url_decode

    try:
        keys = msgspec.json.decode(files["keys.json"])
        return [
            VerifierKey(keys["log_keys_named"], b64url_decode(one["public"]))
            for one in keys["ours"]
            if one["use"] == "log"
        ]
    except (KeyError, TypeError, msgspec.MsgspecError, GatewayError):
        raise MalformedMessage("the pack names no log key") from None


def _checks(files: dict[str, bytes], keys: "list[VerifierKey]") -> Iterator[dict[str, Any]]:
    """Every entry of the pack: its place in the log, and for a message, which must have one, that it is of this id and
    commits to the payload beside it."""
    from gateway.audit.entry import parse_partner_entry

    folders = [name.removesuffix("/payload.json") for name in files if name.endswith("/payload.json")]
    entries = {f"{folder}/entry.json" for folder in folders}
    for name in sorted(entries | {name for name in files if name.endswith("entry.json")}):
        fault, origin, index = "", "", -1
        try:
            if name not in files:
                raise MalformedMessage("no entry of the log stands for this message")
            origin, index = _proven(
                files[name], files.get(name.removesuffix("json") + "tlog-proof", b""), keys
            )
            folder = name.rpartition("/")[0]
            if name in entries:
                entry = parse_partner_entry(files[name])
                if entry.message_id != folder.rpartition("/")[2]:
                    fault = "the entry is another message's"
                elif not _opens(files, folder, entry.body):
                    fault = "the entry commits to another payload"
        except (AuditBroken, MalformedMessage) as error:
            fault = error.detail
        yield {"file": name, "log": origin, "index": index, "fault": fault}


def _opens(files: dict[str, bytes], folder: str, commitment: str) -> bool:
    from gateway.audit.entry import body_commitment
    from gateway.wire.strict import b64url_decode

    try:
        salt = b64url_decode(msgspec.json.decode(files[f"{folder}/opening.json"])["salt"])
        payload = files[f"{folder}/payload.json"]
    except (KeyError, TypeError, msgspec.MsgspecError):
        raise MalformedMessage("the opening of a message is missing or cannot be read") from None
    return body_commitment(salt, hashlib.sha256(payload).digest()) == commitment


def _proven(entry: bytes, proof: bytes, keys: "list[VerifierKey]") -> tuple[str, int]:
    """Log and index of an entry whose C2SP tlog-proof holds. Raises `AuditBroken` or `MalformedMessage`."""
    from base64 import b64decode

    from gateway.audit.checkpoint import parse, verify
    from gateway.audit.tree import InclusionProof, leaf_hash, verify_inclusion

    head, _, note = proof.partition(b"\n\n")
    lines = head.decode("ascii", "replace").split("\n")
    if len(lines) < 2 or lines[0] != "c2sp.org/tlog-proof@v1" or not lines[1].startswith("index "):
        raise MalformedMessage("a proof is missing, or is no C2SP tlog-proof")
    try:
        index = int(lines[1].removeprefix("index "))
        hashes = tuple(b64decode(line, validate=True) for line in lines[2:])
    except ValueError:
        raise MalformedMessage("a proof cannot be read") from None
    checkpoint = verify(note, keys, origin=parse(note).checkpoint.origin).checkpoint
    verify_inclusion(InclusionProof(index, checkpoint.size, hashes), leaf_hash(entry), checkpoint.root)
    return checkpoint.origin, index


# --- the oversight key -----------------------------------------------------------------------------------------------


@local(commands, "oversight-key")
def oversight_key(
    place: Place,
    holder: Annotated[list[str], typer.Option("--holder", help="Who gets a share; once for each.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for the shares and the public document.")],
    threshold: Annotated[int, typer.Option("--threshold", help="Shares that are needed.")] = 2,
) -> Answer:
    """Make an oversight key: the public document, and one share for each holder. The key itself is not kept.

    Run it where the holders are; give each share to its holder, and delete the folder. The document is put in force
    by two persons: `ecluse change propose oversight main FOLDER/oversight.json`.
    """
    from gateway.model.oversight import OversightKey
    from gateway.wire import hpke
    from gateway.wire.shares import split
    from gateway.wire.strict import b64url

    seed = os.urandom(hpke.KEM_SEED_BYTES)
    shares = split(seed, threshold, len(holder), os.urandom)
    document = msgspec.convert(
        {
            "v": 1,
            "suite": hpke.SUITE,
            "public": b64url(hpke.kem_public_bytes(seed)),
            "threshold": threshold,
            "holders": tuple(holder),
        },
        OversightKey,
    )
    files = [out / f"share-{number}.txt" for number in range(1, len(shares) + 1)]
    _make(out)
    for path, share in zip(files, shares, strict=True):
        write_secret(path, share.encode() + b"\n")
    write_file(out / "oversight.json", msgspec.json.format(msgspec.json.encode(document), indent=1) + b"\n")
    rows = list(zip(holder, map(str, files), strict=True))
    return Answer(
        {
            "document": str(out / "oversight.json"),
            "shares": [{"holder": who, "file": file} for who, file in rows],
        },
        [table(("holder", "share"), rows), f"{threshold} of {len(holder)} open what is sealed to this key"],
    )


@local(commands, "open-withheld")
def open_withheld(
    place: Place,
    file: PackFile,
    share: Annotated[list[Path], typer.Option("--share", help="File with one share; once for each.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for the opened records.")],
) -> Answer:
    """Open what was withheld in a pack, with as many shares of the oversight key as it takes. No home is needed."""
    from gateway.wire import hpke
    from gateway.wire.asic import MAX_BYTES
    from gateway.wire.shares import join

    files, _ = _read(file, read_file(file, limit=MAX_BYTES))
    texts = [read_file(path).decode("ascii", "replace") for path in share]
    private = hpke.kem_private(join(texts))
    opened = {}
    for name, sealed in sorted(files.items()):
        folder, _, last = name.rpartition("/")
        if last == "withheld.hpke":
            message = folder.rpartition("/")[2]
            preamble = msgspec.json.encode({"message": message, "use": "ecluse/withheld/1"}, order="sorted")
            opened[message] = hpke.decrypt(preamble, sealed, private)
    if not opened:
        raise RequestInvalid("the pack holds nothing that was withheld", diagnostic={"field": "pack"})
    _make(out)
    written = []
    for message, record in opened.items():
        write_secret(out / f"{message}.json", record)
        written.append(str(out / f"{message}.json"))
    return Answer({"records": written}, written)


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError:
        raise RequestInvalid("the folder cannot be made", diagnostic={"field": "out"}) from None
