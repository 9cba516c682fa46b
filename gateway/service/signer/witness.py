"""The signer as a witness: it cosigns the head of a partner's log about us when that grew from the last it cosigned."""

from __future__ import annotations

from datetime import datetime

from gateway.audit.checkpoint import VerifierKey, log_key_name, parse, partner_origin, verify
from gateway.audit.tree import ConsistencyProof, empty_root, verify_consistency
from gateway.audit.witness import cosign, witness_name
from gateway.errors import Conflict, NotFound, RequestInvalid
from gateway.model.signing import CosignRequest
from gateway.service.signer.keys import SignerKeys
from gateway.service.signer.trust import Cosigned, TrustFile
from gateway.wire.strict import b64url_decode

#: The code of a proof that starts elsewhere than at the head cosigned last, whose size the diagnostic holds.
OTHER_SIZE = "witness-size"


def cosign_head(keys: SignerKeys, trust: TrustFile, request: CosignRequest, *, now: datetime) -> list[str]:
    """Cosign a partner's head with both keys; the lines stand under its note. Safe to repeat.

    (1) it is the head of the log about us of a partner in force, signed by a log key that two officers confirmed;
    (2) the proof starts at the last head cosigned, nought when there is none, and is not from the future;
    (3) that head is a prefix of this one (RFC 9162 §2.1.4.2), and of one size they are the same; (4) this head is
    durable as the last one; (5) cosign it. A first head is taken for what it is; and so is the first under another log
    key, which two officers confirmed: with it a log goes on after a loss that its owner declared.
    Raises `NotFound`, `AuditBroken` where (1) or (3) fails, `RequestInvalid`, and `Conflict` (`OTHER_SIZE`) for (2).
    """
    # (1)
    origin = parse(request.note).checkpoint.origin
    partners = {partner_origin(one.org, trust.trust.org): one for one in trust.trust.partners.values()}
    partner = partners.get(origin)
    if partner is None or partner.stopped:
        raise NotFound("the log is not a partner's log about us")
    name = log_key_name(partner.org)
    known = [VerifierKey(name, b64url_decode(key.public)) for key in partner.keys_for("log")]
    verified = verify(request.note, known, origin=origin)
    head, signers = verified.checkpoint, [key.key_id.hex() for key in verified.signers]
    # (2)
    last = trust.witnessed.get(origin, Cosigned(0, empty_root(), ""))
    if request.old_size == 0 and last.key not in signers:
        last = Cosigned(0, empty_root(), "")
    if request.old_size > head.size or not head.size:
        raise RequestInvalid(
            "the proof leads to a smaller head than it starts from, or to that of an empty log"
        )
    if request.old_size != last.size:
        raise Conflict(
            "the proof does not start at the last head cosigned",
            code=OTHER_SIZE,
            diagnostic={"size": last.size},
        )
    # (3)
    if last.size:
        proof = ConsistencyProof(last.size, head.size, request.consistency)
        verify_consistency(proof, last.root, head.root)
    elif request.consistency:
        raise RequestInvalid("a first head has nothing to prove")
    # (4)
    trust.witness(origin, Cosigned(head.size, head.root, signers[0]))
    # (5)
    ours = witness_name(trust.trust.org)
    return [cosign(head, ours, key, at=now).line() for key in (keys.witness, keys.witness_mldsa)]
