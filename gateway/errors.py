"""The error tree: first who is to blame, then what.

::

    GatewayError                 code (stable slug), detail (safe text), diagnostic (closed values)
    ├── PartnerFault             what a partner sent is wrong: never retried, quarantined
    │   ├── MalformedMessage     ├── SchemaViolation     ├── SignatureInvalid   ├── UnknownPartner
    │   ├── WrongAudience        ├── Replayed            ├── OutOfOrder         ├── DigestConflict
    │   └── OutsideAgreement
    ├── LocalFault               our record, policy, configuration or operator is wrong
    │   ├── RecordInvalid        ├── PolicyInvalid       ├── ConfigInvalid      ├── RequestInvalid
    │   ├── RoleMissing          ├── NotFound            ├── Conflict           ├── GuardRefused
    │   └── CertificateProfileViolation
    ├── Unavailable              the world is away: the only family that may be retried
    │   ├── PartnerUnreachable   ├── StoreUnavailable    ├── SignerUnavailable   └── OverQuota
    └── AuditBroken              the proof is broken: the gateway stops exchanging

``detail`` is one sentence without capital, period or line break, and never holds a value taken from input: it may
name a field (an RFC 6901 pointer of the *schema*, not of the data) and a rule. ``diagnostic`` is a closed mapping
of short machine values (indices, sizes, rule ids) for the operator's log.
"""

from __future__ import annotations

from collections.abc import Mapping


class GatewayError(Exception):
    """Base of every error this package raises on purpose."""

    code = "internal"

    def __init__(
        self, detail: str, *, code: str | None = None, diagnostic: Mapping[str, str | int] | None = None
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.diagnostic: Mapping[str, str | int] = dict(diagnostic or {})
        if code is not None:
            self.code = code


# --- the partner is to blame -----------------------------------------------------------------------------------------


class PartnerFault(GatewayError):
    """What a partner sent cannot be accepted. Never retried; quarantined with its code."""

    code = "malformed"


class MalformedMessage(PartnerFault):
    """The bytes do not follow the container, framing or strict JSON/XML rules."""

    code = "malformed"


class SchemaViolation(PartnerFault):
    """Well-formed, but outside the schema of its format and version."""

    code = "schema-violation"


class SignatureInvalid(PartnerFault):
    """A seal, receipt or endorsement does not verify with the pinned keys."""

    code = "signature-invalid"


class UnknownPartner(PartnerFault):
    """No directory entry, or one that is stopped, stands behind the certificate or identifier."""

    code = "unknown-partner"


class WrongAudience(PartnerFault):
    """Addressed to somebody else, or in another mode."""

    code = "wrong-audience"


class Replayed(PartnerFault):
    """Outside its validity window, or presented over another TLS identity than its issuer's."""

    code = "replayed"


class OutOfOrder(PartnerFault):
    """The sequence number lies beyond the next expected one; ``expected`` tells the sender where to rewind to."""

    code = "out-of-order"

    def __init__(self, detail: str, *, expected: int) -> None:
        super().__init__(detail, diagnostic={"expected": expected})
        self.expected = expected


class DigestConflict(PartnerFault):
    """A known message id came with other bytes: alarm."""

    code = "digest-conflict"


class OutsideAgreement(PartnerFault):
    """Authentic, but no agreement in force lets this partner send this."""

    code = "outside-agreement"


# --- we are to blame -------------------------------------------------------------------------------------------------


class LocalFault(GatewayError):
    """Our own record, policy, configuration or operation is wrong."""

    code = "local-fault"


class RecordInvalid(LocalFault):
    """A local record breaks its kind's schema; ``pointer`` and ``rule`` name where and which."""

    code = "record-invalid"

    def __init__(self, detail: str, *, pointer: str = "", rule: str = "", line: int | None = None) -> None:
        diagnostic: dict[str, str | int] = {"pointer": pointer, "rule": rule}
        if line is not None:
            diagnostic["line"] = line
        super().__init__(detail, diagnostic=diagnostic)
        self.pointer, self.rule, self.line = pointer, rule, line


class PolicyInvalid(LocalFault):
    """A policy, level or mapping file cannot be loaded."""

    code = "policy-invalid"


class ConfigInvalid(LocalFault):
    """The configuration, or the home, does not allow this."""

    code = "config-invalid"


class RequestInvalid(LocalFault):
    """A command's or API call's input is wrong: names the field and the rule."""

    code = "request-invalid"


class RoleMissing(LocalFault):
    """The officer's role, clearance, credential or second signature does not allow this."""

    code = "role-missing"


class NotFound(LocalFault):
    """No such object for this officer."""

    code = "not-found"


class Conflict(LocalFault):
    """The object is not in a state that allows this, or the key exists already."""

    code = "conflict"


class GuardRefused(LocalFault):
    """The guard found bytes it cannot explain, a label above the ceiling, or a withheld value."""

    code = "guard-refused"


class CertificateProfileViolation(LocalFault):
    """A certificate does not follow the profile its use demands."""

    code = "certificate-profile"


# --- the world is away -----------------------------------------------------------------------------------------------


class Unavailable(GatewayError):
    """Something outside does not answer. Safe to repeat, not before ``retry_after`` seconds when that is given."""

    code = "unavailable"

    def __init__(self, detail: str, *, retry_after: float | None = None) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


class PartnerUnreachable(Unavailable):
    """No TLS session with the partner, or no complete answer from it."""

    code = "partner-unreachable"


class StoreUnavailable(Unavailable):
    """The store cannot commit. On the commit path this ends the process with code 4."""

    code = "store-unavailable"


class SignerUnavailable(Unavailable):
    """The signer process does not answer."""

    code = "signer-unavailable"


class OverQuota(Unavailable):
    """A partner has used up what it may make us read in this window; ``retry_after`` says when some is back."""

    code = "quota"


# --- the proof is broken ---------------------------------------------------------------------------------------------


class AuditBroken(GatewayError):
    """The log cannot be proven, or cannot be appended to. Fatal: the gateway stops exchanging (exit code 4)."""

    code = "audit-broken"
