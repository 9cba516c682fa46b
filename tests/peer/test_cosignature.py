"""The gateway as a witness of the peer's log, over its listener: asked and verified from the document alone (§14.1)."""

from __future__ import annotations

import hashlib
import time

import pytest
from Crypto.Signature import eddsa

from tests.peer.checkpoint import sign_head
from tests.peer.spelling import b64_bytes
from tests.peer.world import World

pytestmark = pytest.mark.integration

LEAVES = [hashlib.sha256(bytes([number])).digest() for number in range(3)]


def test_a_head_is_cosigned_once_proven(world: World) -> None:
    """404, 403, then a first head with both lines and the Ed25519 one verified here; then 409 with its size, and 422
    for a head that did not grow from it; 400 for what is no ask."""
    peer = world.peers["jwe-classic"]
    key, us, them = peer.identity.private["log", "Ed25519"], peer.org, peer.partner.org

    def asked(old: int, note: str) -> tuple[int, bytes, str]:
        answer = peer.client.ask("POST", "/exchange/v1/add-checkpoint", f"old {old}\n\n{note}".encode())
        return answer.status, answer.body, answer.headers.get("content-type", "")

    note = sign_head(us, them, LEAVES, key)
    assert asked(0, sign_head(us, "fra.somebody", LEAVES, key))[:2] == (404, b"")
    assert asked(0, note.replace("\n3\n", "\n4\n"))[:2] == (403, b"")
    assert asked(0, "no head")[0] == 400
    status, body, media = asked(0, note)
    assert (status, media.partition(";")[0]) == (200, "text/plain")
    name, text = f"ecluse/{them}/witness", note.partition("\n\n")[0] + "\n"
    found = {}
    for line in body.decode().splitlines():
        signer, _, blob = line.removeprefix("— ").partition(" ")
        assert signer == name
        found[b64_bytes(blob)[:4]] = b64_bytes(blob)[4:]
    assert len(found) == 2
    for alg, kind, length in (("Ed25519", b"\x04", 72), ("ML-DSA-44", b"\x06", 8 + 2420)):
        (public,) = (one.public for one in peer.partner.valid("witness", alg, time.time()))
        signed = found[hashlib.sha256(name.encode() + b"\n" + kind + public).digest()[:4]]
        assert len(signed) == length
        if alg == "Ed25519":
            at = int.from_bytes(signed[:8], "big")
            assert abs(at - time.time()) < 300
            message = f"cosignature/v1\ntime {at}\n{text}".encode()
            eddsa.new(eddsa.import_public_key(public), "rfc8032").verify(message, signed[8:])
    assert asked(0, note) == (409, b"3\n", "text/x.tlog.size")
    assert asked(3, note)[0] == 200
    assert asked(3, sign_head(us, them, [*LEAVES, LEAVES[0]], key))[:2] == (422, b"")
