"""Statistics of requests (Directive (EU) 2023/977 art. 18): what was asked of us in a year, and what became of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from functools import partial
from zoneinfo import ZoneInfo

import msgspec

from gateway.errors import NotFound
from gateway.model.agreement import AgreementTerms, SignedAgreement
from gateway.model.decision import ReplyDocument
from gateway.model.officer import Officer
from gateway.model.party import Partner
from gateway.model.rows import DirectoryRow, KeyRow, ReleaseRow, RequestRow
from gateway.ports import ReadTx
from gateway.service.calls import years as calls_years
from gateway.service.calls.years import Exchange, Handled, OfYear
from gateway.service.contents import CodedBody
from gateway.service.context import Gateway
from gateway.service.operation import Operation, note_read
from gateway.service.requests import GROUNDS
from gateway.service.vault import keys_of
from gateway.service.years import Years, answered_at, fate
from gateway.wire.strict import b64url_decode

#: Requests whose answers are opened at once: one call to the signer.
OPENED = 1000


class Statistics:
    """Counts, for reviewers."""

    def __init__(self, gateway: Gateway) -> None:
        self._g, self._years = gateway, Years(gateway)

    def operations(self) -> dict[str, Operation]:
        """A reviewer's. The grounds of refusals stand in what was decided, and opening that is a read."""
        return {"audit/stats": Operation(OfYear, ("reviewer",), self.stats)}

    async def stats(self, officer: Officer, params: OfYear) -> calls_years.Statistics:
        """(1) Requests received in the year; (2) opening answers for their grounds is a read, and an entry; (3) each
        counts under its partner, class, clock, answer and ground. No small number is hidden: the law hides none."""
        gateway = self._g
        since, until = self._years.bounds(params.year)
        as_of = min(until, gateway.clock.now())
        # (1)
        rows, partners = await gateway.store.read(
            lambda tx: (_received(tx, since, until), tuple(_exchanges(tx)))
        )
        # (2)
        await note_read(gateway, officer, "", f"statistics, {params.year}")
        # (3)
        found: Counter[tuple[str, ...]] = Counter()
        for start in range(0, len(rows), OPENED):
            page = rows[start : start + OPENED]
            await gateway.vault.unlock(await gateway.store.read(partial(_keys, rows=page)))
            found.update(await gateway.store.read(partial(self._handled, rows=page, as_of=as_of)))
        fields = Handled.__struct_fields__
        handled = tuple(
            msgspec.convert(dict(zip(fields, (*key, count), strict=True)), Handled)
            for key, count in sorted(found.items())
        )
        return calls_years.Statistics(since, until, as_of, partners, handled)

    def _handled(self, tx: ReadTx, rows: list[RequestRow], as_of: datetime) -> Counter[tuple[str, ...]]:
        found: Counter[tuple[str, ...]] = Counter()
        zone = ZoneInfo(self._g.config.zone)
        for row in rows:
            at = answered_at(tx, self._g.org, row)
            clock = fate(row, at, as_of, zone)
            release = tx.get(ReleaseRow, row.answer) if clock in ("in_time", "late") else None
            answer = release.type if release is not None else ""
            ground = self._ground(tx, release) if release is not None and answer in GROUNDS else ""
            found[row.sender, row.urgency, clock, answer, ground] += 1
        return found

    def _ground(self, tx: ReadTx, release: ReleaseRow) -> str:
        """The ground that the officer gave: the first word of the justification, which stays inside."""
        try:
            body = self._g.vault.open(tx, release.body, CodedBody)
        except NotFound:
            return ""
        ground = msgspec.json.decode(body.document, type=ReplyDocument).justification.partition(":")[0]
        return ground if ground in GROUNDS[release.type] else ""


def _received(tx: ReadTx, since: datetime, until: datetime) -> list[RequestRow]:
    return [row for row in tx.select(RequestRow) if since <= row.received_at < until]


def _keys(tx: ReadTx, rows: list[RequestRow]) -> list[KeyRow]:
    names = tuple(row.answer for row in rows if row.answer)
    releases = tx.select(ReleaseRow, {"id": names}) if names else []
    return keys_of(tx, [row.key for row in releases if row.type in GROUNDS]) if releases else []


def _exchanges(tx: ReadTx) -> Iterator[Exchange]:
    """Every partner that is or was in the directory."""
    regimes: dict[str, str] = {}
    for row in sorted(tx.select(DirectoryRow, {"kind": "agreement"}), key=lambda row: row.version):
        terms = _terms(row.document)
        regimes |= dict.fromkeys(terms.parties, terms.regime)
    newest: dict[str, Partner] = {}
    for row in sorted(tx.select(DirectoryRow, {"kind": "partner"}), key=lambda row: row.version):
        newest[row.id] = msgspec.json.decode(row.document, type=Partner)
    for org, partner in sorted(newest.items()):
        yield Exchange(org, partner.nation, regimes.get(org, ""))


def _terms(document: bytes) -> AgreementTerms:
    signed = msgspec.json.decode(document, type=SignedAgreement)
    return msgspec.json.decode(b64url_decode(signed.terms), type=AgreementTerms)
