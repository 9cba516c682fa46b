"""§19 of the partner protocol, from the stored vectors: ``python -m tests.vectors.protocol_example`` writes it."""

from __future__ import annotations

import base64
import hashlib
import json
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec, x25519
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tests.vectors.make_protocol import FOLDER
from tests.vectors.protocol_bytes import (
    Members,
    entry,
    hpke_info,
    hpke_schedule,
    jwe_key,
    kem,
    ordered,
    p256,
    root,
    seed,
    shared_secret,
)
from tests.vectors.protocol_world import CONVERSATION, MESSAGE_ID, NOW, RECIPIENT, VOID, header, signatures

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "partner-protocol.md"
BEGIN, END = "<!-- example -->\n", "<!-- end of example -->"

WIDTH = 118  # columns of a block


def _case(file: str, name: str) -> Members:
    content: Members = json.loads((FOLDER / f"{file}.json").read_text())
    found: Members = next(case for case in content["cases"] if case["name"] == name)
    return found


def _message(name: str) -> tuple[bytes, bytes]:
    """Preamble and ciphertext of a stored message."""
    text = _case("sealed", name)["sealed"]
    line, _, ciphertext = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).partition(b"\n")
    return line, ciphertext


def _block(text: str) -> str:
    """Folded at a fixed column, within words or not."""
    return "```text\n" + "\n".join(text[at : at + WIDTH] for at in range(0, len(text), WIDTH)) + "\n```\n"


def _values(**values: bytes | str) -> str:
    """Named byte strings in hex, long ones by length and digest."""
    rows = []
    for name, value in values.items():
        raw = value if isinstance(value, bytes) else value.encode()
        short = (
            raw.hex() if len(raw) <= 48 else f"{len(raw)} bytes, SHA-256 {hashlib.sha256(raw).hexdigest()}"
        )
        rows.append(f"{name.replace('_', ' '):<24}{short}")
    return "```text\n" + "\n".join(rows) + "\n```\n"


def _hpke() -> str:
    line, ciphertext = _message("void, hpke-classic")
    sk_m, sk_x = kem(f"{RECIPIENT}/hpke")
    ct_m, ct_x = ciphertext[:1088], ciphertext[1088:1120]
    ss_m = sk_m.decapsulate(ct_m)
    ss_x = sk_x.exchange(x25519.X25519PublicKey.from_public_bytes(ct_x))
    pk_x = sk_x.public_key().public_bytes_raw()
    secret, info = shared_secret(ss_m, ss_x, ct_x, pk_x), hpke_info(line)
    key, nonce = hpke_schedule(secret, info)
    plaintext = AESGCM(key).decrypt(nonce, ciphertext[1120:], b"")
    return _values(
        seed=seed(f"{RECIPIENT}/hpke"),
        preamble=line,
        info=info,
        ciphertext=ciphertext,
        ct_M=ct_m,
        ct_X=ct_x,
        ss_M=ss_m,
        ss_X=ss_x,
        pk_X=pk_x,
        shared_secret=secret,
        key=key,
        nonce=nonce,
        plaintext=plaintext,
    )


def _jwe() -> tuple[str, str]:
    line, compact = _message("void, jwe-classic")
    protected, _, iv, _, tag = compact.decode().split(".")
    raw = base64.urlsafe_b64decode(protected + "==")
    members: Members = json.loads(raw)
    private = p256(f"{RECIPIENT}/jwe")
    x, y = (
        int.from_bytes(base64.urlsafe_b64decode(members["epk"][name] + "="), "big") for name in ("x", "y")
    )
    point = ec.EllipticCurvePublicNumbers(x, y, ec.SECP256R1()).public_key()
    shared = private.exchange(ec.ECDH(), point)
    apu, apv = (base64.urlsafe_b64decode(members[name] + "==") for name in ("apu", "apv"))
    values = _values(
        private_scalar=private.private_numbers().private_value.to_bytes(32, "big"),
        preamble=line,
        apu=apu,
        apv=apv,
        Z=shared,
        key=jwe_key(shared, apu, apv),
        iv=base64.urlsafe_b64decode(iv),
        tag=base64.urlsafe_b64decode(tag + "=="),
        compact_JWE=compact,
    )
    return raw.decode(), values


def text() -> str:
    """The whole section."""
    first = header(VOID, "void")
    raw, (jws, _) = ordered(first), signatures(first, VOID)
    head, _, signature = jws.split(".")
    line, _ = _message("void, hpke-classic")
    own = entry(VOID, at=NOW, conv=CONVERSATION, message_id=MESSAGE_ID, seq=1, type="void")
    jwe_header, jwe_values = _jwe()
    receipt = _case("receipts", "three outcomes")["jws"]
    statement = base64.urlsafe_b64decode(receipt.split(".")[1] + "==").decode()
    parts = len(jws), 0, len(VOID), 4096 - 16 - len(jws) - len(VOID)
    return "\n".join(
        (
            "All of it stands in `tests/vectors/protocol/`; the keys come from published seeds and guard nothing.",
            "Lines are folded here and nowhere else; byte strings are in hex, long ones by length and SHA-256.\n",
            "A `void` is the shortest message. Its payload:\n",
            _block(VOID.decode()),
            "Its log entry, and the leaf hash of that entry:\n",
            _block(own.decode()),
            _values(leaf_hash=root([own])),
            "The head that covers it, as it stands in the seal:\n",
            "```text\n" + first["checkpoint"] + "```\n",
            "The seal, and what is signed:\n",
            _block(raw.decode()),
            _values(seal=raw, signing_input=head.encode() + b"." + VOID, payload=VOID),
            f"Signature: `{signature[:43]}` `{signature[43:]}`.\n",
            f"The plaintext holds parts of {parts[0]}, {parts[1]}, {parts[2]} and {parts[3]} bytes. The preamble:\n",
            _block(line.decode()),
            "Suite `hpke-mlkem768-x25519-a256gcm` (`sealed.json`, *void, hpke-classic*):\n",
            _hpke(),
            "Suite `jwe-ecdh-es-a256gcm` (*void, jwe-classic*); its protected header:\n",
            _block(jwe_header),
            jwe_values,
            "The statement of a receipt for three messages, and its JWS (`receipts.json`, *three outcomes*):\n",
            _block(statement),
            _block(receipt),
        )
    )


def filled(document: str) -> str:
    """The document with its §19 as `text` says."""
    before, _, rest = document.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise ValueError("the document has no place for its example")
    return f"{before}{BEGIN}\n{text()}\n{END}{after}"


if __name__ == "__main__":
    DOCUMENT.write_text(filled(DOCUMENT.read_text(encoding="utf-8")), encoding="utf-8")
