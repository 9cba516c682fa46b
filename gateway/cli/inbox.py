"""`ecluse inbox`: what partners sent; `ecluse message open`: verify and decrypt one message offline."""

import base64
from pathlib import Path
from typing import Annotated, Any

import typer

from gateway.cli.release import readable
from gateway.cli.shared import (
    NEGATIVE,
    Acting,
    Answer,
    Place,
    acting,
    group,
    local,
    read_document,
    read_file,
    table,
)
from gateway.errors import PartnerFault, RequestInvalid

commands = group("Messages received.")
messages = group("Sealed messages, offline.")

After = Annotated[str, typer.Option("--after", help="Last of the page before: id, or for messages ORG/ID.")]
Limit = Annotated[int, typer.Option("--limit", min=1, max=500)]


@acting(commands, "list")
async def list_inbox(on: Acting, after: After = "", limit: Limit = 100) -> Answer:
    """List messages received; no content."""
    from gateway.service.calls import InboxItem, Page

    found = await on.desk.call("inbox/list", Page(after, limit), list[InboxItem])
    rows = [(one.message_id, one.type, one.state, one.sender, one.conversation, one.seq, one.received_at)
            for one in found]  # fmt: skip
    columns = ("message", "type", "state", "from", "conversation", "seq", "received")
    return Answer({"inbox": found}, [table(columns, rows)])


@acting(commands, "show")
async def show(
    on: Acting,
    message: Annotated[
        str, typer.Argument(metavar="MESSAGE", help="Id, or ORG/ID when two partners used it.")
    ],
) -> Answer:
    """Show a message received, as its bytes say. Looking is logged."""
    from gateway.service.calls import InboxView, Named

    view: InboxView = await on.desk.call("inbox/show", Named(message), InboxView)
    item = view.item
    text = [
        f"{item.type} {item.message_id} from {item.sender}, conversation {item.conversation}, seq {item.seq}",
        f"received {item.received_at:%Y-%m-%dT%H:%M:%SZ}, receipt {view.receipt}",
        readable(view.payload),
    ]
    return Answer({"item": item, "receipt": view.receipt, **_payload(view.payload)}, text)


@acting(commands, "quarantine")
async def quarantine(on: Acting, after: After = "", limit: Limit = 100) -> Answer:
    """List what was refused, and why; no content."""
    from gateway.service.calls import Page, QuarantineItem

    found = await on.desk.call("inbox/quarantine", Page(after, limit), list[QuarantineItem])
    rows = [(one.id, one.partner, one.code, one.size, one.at) for one in found]
    return Answer({"quarantine": found}, [table(("id", "from", "code", "bytes", "at"), rows)])


@local(messages, "open")
def open_message(
    place: Place,
    file: Annotated[Path, typer.Argument(help="One sealed message.")],
    keys: Annotated[
        Path, typer.Option("--keys", help="Folder with encryption.bin and the sender's partner.json.")
    ],
    at: Annotated[str, typer.Option("--at", help="Instant at which the sender's keys must be valid.")] = "",
) -> Answer:
    """Decrypt and verify a sealed message without any gateway. Exit code 1 when it does not hold.

    \b
    (1) read the preamble; (2) decrypt with our key; (3) the seal holds with the keys of exactly this sender;
    (4) preamble and seal agree. Not checked: whether it is for now, new, or allowed by an agreement.
    """
    from gateway.model.party import Partner
    from gateway.model.time import parse_rfc3339
    from gateway.service.app import now
    from gateway.wire.container import (
        KEM_SEED_BYTES,
        MAX_SEALED,
        decrypt,
        kem_private,
        require_consistent,
        split,
        unpack,
    )
    from gateway.wire.seal import verify_seal

    sealed = read_file(file, limit=MAX_SEALED)
    seed = read_file(keys / "encryption.bin", limit=KEM_SEED_BYTES)
    partner = read_document(keys / "partner.json", Partner)
    when = parse_rfc3339(at) if at else now()
    private = kem_private(seed)
    try:
        # (1)
        preamble, line, ciphertext = split(sealed)
        # (2)
        parts = unpack(decrypt(line, ciphertext, private))
        # (3)
        evidence = verify_seal(parts.jws, parts.payload, partner.keys, now=when)
        # (4)
        require_consistent(preamble, evidence.header)
    except PartnerFault as fault:
        return Answer(
            {"verified": False, "error": {"code": fault.code, "detail": fault.detail}},
            [f"the message does not hold: {fault.code}: {fault.detail}"],
            NEGATIVE,
        )
    if preamble.iss != partner.org:
        raise RequestInvalid("partner.json is another organisation's entry than the sender's")
    header = evidence.header
    rows = [
        (member, getattr(header, member)) for member in header.__struct_fields__ if member != "checkpoint"
    ]
    text = ["the seal holds", table(("header", "value"), rows), header.checkpoint, readable(parts.payload)]
    return Answer({"verified": True, "kid": evidence.kid, "header": header, **_payload(parts.payload)}, text)


def _payload(payload: bytes) -> dict[str, Any]:
    """The exact bytes, and the same as text where they are text."""
    text = payload.decode(errors="replace")
    return {"payload_base64": base64.b64encode(payload).decode(), "payload": text}
