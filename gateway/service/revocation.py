"""How old a word on revocation may be: revocation lists in their grace, and OCSP answers fetched ahead of use.

A responder is asked at a constant cadence about every pinned certificate of the organisations it serves, whether or
not messages flow, and never because of one: what it learns is that we are running. An answer is in memory only: after
a restart a partner with a responder waits for its first one. How new the newest word was is kept for good, so that
nobody can repeat an older one then.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime, timedelta
from typing import Literal, NamedTuple

import structlog
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import Encoding

from certs.profiles import UNREADABLE, load_certificate
from gateway.errors import GatewayError, UnknownPartner
from gateway.model.party import Partner
from gateway.model.rows import MetaRow
from gateway.model.time import rfc3339
from gateway.ports import Tx
from gateway.service.config import Revocation
from gateway.service.ocsp import OcspAnswer, question, verify_answer
from gateway.wire.strict import b64url_decode

log = structlog.get_logger()

Standing = Literal["current", "grace", "over"]

#: One exchange with a responder: URL and question to answer; raises an `Unavailable`.
Ask = Callable[[str, bytes], Awaitable[bytes]]

#: Takes the newest word on a certificate (its SHA-256), durably, or raises `UnknownPartner`: `keep_newest` in a store.
Keep = Callable[[str, OcspAnswer], Awaitable[None]]

#: Names of the store's rows on the newest word about a certificate. They stay: some 100 bytes for each there ever was.
_NEWEST = "ocsp/"


def keep_newest(tx: Tx, certificate_sha256: str, answer: OcspAnswer) -> None:
    """Store that this is the newest word, unless a newer one is stored: that raises `UnknownPartner`, rule ``ocsp``.

    A signed answer can be repeated by whoever stands between (RFC 6960 §5), also after a restart. Of two of one second
    the bad one is the newer. Repeatable.
    """
    name, held = f"{_NEWEST}{certificate_sha256}", _rank(answer)
    kept = tx.get(MetaRow, name)
    if kept is not None and kept.value > held:
        raise UnknownPartner("the answer is older than one we had", diagnostic={"rule": "ocsp"})
    tx.put(MetaRow(name, held))


def _rank(answer: OcspAnswer) -> str:
    """Sorts as the words were said: time in whole seconds, as it is signed, then good before anything else."""
    return f"{rfc3339(answer.this_update)} {0 if answer.status == 'good' else 1}"


def standing(due: datetime, now: datetime, grace: timedelta) -> Standing:
    """How a word that was due to be replaced at that instant stands now."""
    if now <= due:
        return "current"
    return "grace" if now <= due + grace else "over"


class Watched(NamedTuple):
    """A partner's certificate that is asked about."""

    org: str
    certificate: x509.Certificate

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.certificate.public_bytes(Encoding.DER)).hexdigest()


class Revocations:
    """What responders said of partners' TLS certificates."""

    def __init__(
        self,
        settings: Revocation,
        *,
        partners: Callable[[], Iterable[Partner]],
        authorities: Callable[[], Iterable[x509.Certificate]],
        ask: Ask,
        keep: Keep,
        clock: Callable[[], datetime],
        blocked: Callable[[str], Awaitable[None]],
    ) -> None:
        """``blocked`` is told an organisation whose certificate has lost its good standing: it ends connections."""
        self._settings, self._partners, self._authorities = settings, partners, authorities
        self._ask, self._keep, self._clock, self._blocked = ask, keep, clock, blocked
        self._answers: dict[str, OcspAnswer] = {}  # by SHA-256 of the certificate
        self._good: set[str] = set()  # certificates in good standing after the last round

    def require(self, org: str, certificate_sha256: str) -> OcspAnswer | None:
        """The good answer about this certificate; None for an organisation that has no responder.

        1. no answer, or one of a responder that does not know the certificate, is no good one (RFC 6960 §2.2);
        2. revoked is refused, however old the answer;
        3. an answer beyond its grace is refused.

        Raises `UnknownPartner`, rule ``revoked`` or ``revocation-unknown``.
        """
        if org not in self._settings.responders:
            return None
        answer = self._answers.get(certificate_sha256)
        # (1)
        if answer is None or answer.status == "unknown":
            raise UnknownPartner(
                "no responder knows the certificate", diagnostic={"rule": "revocation-unknown"}
            )
        # (2)
        if answer.status == "revoked":
            raise UnknownPartner("the certificate is revoked", diagnostic={"rule": "revoked"})
        # (3)
        grace = timedelta(seconds=self._settings.ocsp_grace_s)
        if standing(answer.next_update, self._clock(), grace) == "over":
            raise UnknownPartner(
                "the responder's answer is too old", diagnostic={"rule": "revocation-unknown"}
            )
        return answer

    async def run(self) -> None:
        """Ask until cancelled, at the configured cadence; without a responder there is nothing to do."""
        while True:
            began = asyncio.get_running_loop().time()
            await self.round()
            # From begin to begin, so that slow answers do not stretch the cadence.
            spent = asyncio.get_running_loop().time() - began
            await asyncio.sleep(max(0.0, self._settings.ocsp_every_s - spent))

    async def round(self) -> None:
        """Ask about every certificate once, then end the connections of whoever lost its good standing."""
        watched = list(self._watched())
        await asyncio.gather(*(self._question(one) for one in watched))
        good = {one.sha256 for one in watched if self._is_good(one)}
        lost = {one.org for one in watched if one.sha256 in self._good - good}
        self._good = good
        self._answers = {one.sha256: a for one in watched if (a := self._answers.get(one.sha256))}
        for org in sorted(lost):
            log.error("ocsp.blocked", partner=org)
            await self._blocked(org)

    def _is_good(self, one: Watched) -> bool:
        try:
            self.require(one.org, one.sha256)
        except UnknownPartner:
            return False
        return True

    async def _question(self, one: Watched) -> None:
        """Replace the answer about one certificate by a newer one; any failure leaves the one there is to age.

        1. who issued the certificate; 2. ask, and check the answer; 3. never back to an older one, and the newer one is
        kept before it counts.
        """
        try:
            issuer = self._issuer(one.certificate)  # (1)
            # (2)
            raw = await self._ask(self._settings.responders[one.org], question(one.certificate, issuer))
            answer = verify_answer(raw, one.certificate, issuer, now=self._clock())
            if answer != self._answers.get(one.sha256):
                await self._keep(one.sha256, answer)  # (3)
                self._answers[one.sha256] = answer
        except GatewayError as failure:
            log.warning("ocsp.unanswered", partner=one.org, code=failure.code, detail=failure.detail)

    def _watched(self) -> Iterable[Watched]:
        """Certificates to ask about. One that cannot be read is left out, and so never in good standing."""
        for partner in self._partners():
            if partner.org not in self._settings.responders or partner.stopped:
                continue
            for key in (*partner.keys_for("tls-client"), *partner.keys_for("tls-server")):
                if not key.certificate:
                    continue
                try:
                    yield Watched(partner.org, load_certificate(b64url_decode(key.certificate)))
                except GatewayError as fault:
                    log.error("ocsp.certificate", partner=partner.org, code=fault.code, detail=fault.detail)

    def _issuer(self, certificate: x509.Certificate) -> x509.Certificate:
        for authority in self._authorities():
            try:
                certificate.verify_directly_issued_by(authority)
            except (*UNREADABLE, InvalidSignature):
                continue
            return authority
        raise UnknownPartner("no authority we trust issued the certificate", diagnostic={"rule": "ocsp"})
