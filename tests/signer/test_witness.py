"""The signer vouches for a partner's head only when it grew from the last one, and only once that is durable."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gateway.audit import tree
from gateway.audit.checkpoint import Checkpoint, log_key_name, parse, partner_origin, sign
from gateway.audit.witness import WitnessKey, cosignatures, witness_name
from gateway.errors import GatewayError, StoreUnavailable
from gateway.model.party import KeyRecord
from gateway.model.signing import CosignRequest
from gateway.service.signer.trust import Cosigned, Trust
from gateway.service.signer.witness import OTHER_SIZE, cosign_head
from gateway.wire.strict import b64url
from tests.audit.logs import MemoryLog
from tests.policy.worlds import NOW, OURS, POLICE
from tests.signer.world import WITNESS_KEY, WITNESS_MLDSA, Disk, authority, disk

PARTNER = POLICE
ORIGIN = partner_origin(PARTNER, OURS)
THEIRS = Ed25519PrivateKey.generate()
LOG = MemoryLog.of([1] * 24)
OTHER = MemoryLog.of([1] * 24, tale="another", tale_from=3)
KEYS = [WitnessKey.of(witness_name(OURS), key) for key in (WITNESS_KEY, WITNESS_MLDSA)]


def ask(old: int, new: int, log: MemoryLog = LOG) -> CosignRequest:
    proof = tree.consistency_proof(old, new, log.tiles).hashes if 0 < old < new else ()
    head = Checkpoint(ORIGIN, new, tree.root(new, log.tiles))
    return CosignRequest(sign(head, log_key_name(PARTNER), THEIRS), old, tuple(proof))


def trusting() -> Disk:
    """A signer's disk whose partner has a log key."""
    held = disk()
    trust = msgspec.json.decode(held.files["trust.json"], type=Trust)
    key = KeyRecord(
        kid="log", use="log", alg="Ed25519", public=b64url(THEIRS.public_key().public_bytes_raw())
    )
    partner = msgspec.structs.replace(trust.partners[PARTNER], keys=(key,))
    trust = msgspec.structs.replace(trust, partners={**trust.partners, PARTNER: partner})
    held.files["trust.json"] = msgspec.json.encode(trust)
    return held


def cosigned(held: Disk, request: CosignRequest) -> list[str]:
    signer = authority(held)
    return cosign_head(signer.keys, signer.trust, request, now=NOW)


def witnessed(held: Disk) -> dict[str, Cosigned]:
    return msgspec.json.decode(held.files.get("witnessed.json", b"{}"), type=dict[str, Cosigned])


def test_a_log_that_grows_is_cosigned() -> None:
    """From its first head on, by both keys, each head durable before its cosignature; the same head again too."""
    held = trusting()
    for old, new in ((0, 3), (3, 9), (9, 9), (9, 24)):
        request = ask(old, new)
        lines = cosigned(held, request)
        found = cosignatures(parse(request.note + "".join(lines).encode()), KEYS)
        assert [(one.witness, one.size, one.at) for one in found] == [(key, new, NOW) for key in KEYS]
        assert witnessed(held)[ORIGIN].size == new
    assert held.writes == ["witnessed.json"] * 3


REFUSED: dict[str, tuple[str, Callable[[], CosignRequest]]] = {
    "forked after the last head": ("audit-broken", lambda: ask(9, 12, OTHER)),
    "another root of one size": ("audit-broken", lambda: ask(9, 9, OTHER)),
    "no proof": ("audit-broken", lambda: msgspec.structs.replace(ask(9, 12), consistency=())),
    "a proof between equals": (
        "audit-broken",
        lambda: msgspec.structs.replace(ask(9, 9), consistency=(bytes(32),)),
    ),
    "from a smaller head": (OTHER_SIZE, lambda: ask(4, 12)),
    "as if for the first time": (OTHER_SIZE, lambda: ask(0, 12)),
    "backwards": ("request-invalid", lambda: msgspec.structs.replace(ask(4, 5), old_size=9)),
    "a smaller head": (OTHER_SIZE, lambda: ask(4, 5)),
    "an empty log": ("request-invalid", lambda: CosignRequest(
        sign(Checkpoint(ORIGIN, 0, tree.empty_root()), log_key_name(PARTNER), THEIRS), 0)),
    "a note that is none": ("audit-broken", lambda: CosignRequest(b"x", 9)),
    "our own log": ("not-found", lambda: CosignRequest(
        sign(Checkpoint(partner_origin(OURS, PARTNER), 12, bytes(32)), log_key_name(OURS), THEIRS), 9)),
    "another partner's log about them": ("not-found", lambda: CosignRequest(
        sign(Checkpoint(partner_origin(PARTNER, "fra.other"), 12, bytes(32)), log_key_name(PARTNER), THEIRS), 9)),
    "signed by another key": ("audit-broken", lambda: CosignRequest(
        sign(Checkpoint(ORIGIN, 12, tree.root(12, LOG.tiles)), log_key_name(PARTNER), WITNESS_KEY), 9,
        ask(9, 12).consistency)),
}  # fmt: skip


@pytest.mark.parametrize(("code", "request_of"), REFUSED.values(), ids=REFUSED)
def test_what_is_not_cosigned(code: str, request_of: Callable[[], CosignRequest]) -> None:
    """Each is refused, and the last head stays what it was."""
    held = trusting()
    cosigned(held, ask(0, 9))
    before = witnessed(held)
    with pytest.raises(GatewayError) as refused:
        cosigned(held, request_of())
    assert refused.value.code == code
    if code == OTHER_SIZE:
        assert refused.value.diagnostic == {"size": 9}
    assert witnessed(held) == before


def test_a_stopped_partner_is_not_served_and_a_first_head_proves_nothing() -> None:
    """Neither a partner that was stopped, nor a first head that brings a proof."""
    held = trusting()
    with pytest.raises(GatewayError):
        cosigned(held, msgspec.structs.replace(ask(0, 9), consistency=(bytes(32),)))
    trust = msgspec.json.decode(held.files["trust.json"], type=Trust)
    stopped = msgspec.structs.replace(trust.partners[PARTNER], stopped=True)
    held.files["trust.json"] = msgspec.json.encode(
        msgspec.structs.replace(trust, partners={**trust.partners, PARTNER: stopped})
    )
    with pytest.raises(GatewayError) as refused:
        cosigned(held, ask(0, 9))
    assert refused.value.code == "not-found"


def test_another_log_key_begins_anew() -> None:
    """After a declared loss the log goes on under a key that two officers confirmed: its first head is taken for what
    it is, shorter or not; from then on growth is proven again, and the old key's heads count no more."""
    held, new = trusting(), Ed25519PrivateKey.generate()
    cosigned(held, ask(0, 9))
    trust = msgspec.json.decode(held.files["trust.json"], type=Trust)
    key = KeyRecord(kid="new", use="log", alg="Ed25519", public=b64url(new.public_key().public_bytes_raw()))
    partner = msgspec.structs.replace(trust.partners[PARTNER], keys=(key,))
    held.files["trust.json"] = msgspec.json.encode(
        msgspec.structs.replace(trust, partners={**trust.partners, PARTNER: partner})
    )

    def under_new(old: int, size: int) -> CosignRequest:
        head = Checkpoint(ORIGIN, size, tree.root(size, OTHER.tiles))
        return CosignRequest(sign(head, log_key_name(PARTNER), new), old, ask(old, size, OTHER).consistency)

    with pytest.raises(GatewayError):
        cosigned(held, under_new(9, 12))
    cosigned(held, under_new(0, 6))
    cosigned(held, under_new(6, 12))
    with pytest.raises(GatewayError):
        cosigned(held, under_new(0, 13))
    with pytest.raises(GatewayError):
        cosigned(held, ask(0, 9))


def test_nothing_is_cosigned_that_cannot_be_remembered() -> None:
    """A disk that refuses the head yields no cosignature."""
    held = trusting()
    signer = authority(held)

    def full(name: str, data: bytes) -> None:
        raise StoreUnavailable("no space")

    signer.trust._replace = full
    with pytest.raises(StoreUnavailable):
        cosign_head(signer.keys, signer.trust, ask(0, 9), now=NOW)
    assert witnessed(held) == {}
