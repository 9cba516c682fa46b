"""`ecluse message open`: decrypt and verify one sealed message without any gateway."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gateway.cli.inbox import payload_members
from gateway.cli.release import readable
from gateway.cli.shared import NEGATIVE, Answer, Place, group, local, read_document, read_file, table
from gateway.errors import ConfigInvalid, PartnerFault, RequestInvalid

if TYPE_CHECKING:
    from gateway.wire.container import OpeningKey

commands = group("Sealed messages, offline.")


@local(commands, "open")
def open_message(
    place: Place,
    file: Annotated[Path, typer.Argument(help="One sealed message.")],
    keys: Annotated[
        Path,
        typer.Option("--keys", help="Folder with encryption.bin or encryption-jwe.pem, and partner.json."),
    ],
    at: Annotated[str, typer.Option("--at", help="Instant at which the sender's keys must be valid.")] = "",
) -> Answer:
    """Decrypt and verify a sealed message without any gateway. Exit code 1 when it does not hold.

    \b
    (1) read the preamble; (2) decrypt with our key; (3) the seal holds with the keys of exactly this sender;
    (4) preamble and seal agree. Not checked: whether it is for now, new, or allowed by an agreement; so suite and
    signature profile are those the message itself names.
    """
    from gateway.model.party import Partner
    from gateway.model.time import parse_rfc3339
    from gateway.service.app import now
    from gateway.wire.container import MAX_SEALED, decrypt, require_consistent, split, unpack
    from gateway.wire.seal import read_seal, verify_seal

    sealed = read_file(file, limit=MAX_SEALED)
    partner = read_document(keys / "partner.json", Partner)
    when = parse_rfc3339(at) if at else now()
    try:
        # (1)
        preamble, line, ciphertext = split(sealed)
        # (2)
        parts = unpack(decrypt(line, ciphertext, _opening_key(keys, preamble.suite)))
        # (3)
        profile = read_seal(parts.jws).sig_profile
        evidence = verify_seal(
            parts.jws, parts.second, parts.payload, partner.keys, profile=profile, now=when
        )
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
    return Answer(
        {"verified": True, "kid": evidence.kid, "header": header, **payload_members(parts.payload)}, text
    )


def _opening_key(folder: Path, suite: str) -> "OpeningKey":
    """The key file of this suite, as the signer's folder holds it."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    from gateway.wire.hpke import KEM_SEED_BYTES, SUITE, kem_private

    if suite == SUITE:
        return kem_private(read_file(folder / "encryption.bin", limit=KEM_SEED_BYTES))
    try:
        key = load_pem_private_key(read_file(folder / "encryption-jwe.pem"), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ConfigInvalid("encryption-jwe.pem holds no unencrypted P-256 key") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise ConfigInvalid("encryption-jwe.pem holds no unencrypted P-256 key")
    return key
