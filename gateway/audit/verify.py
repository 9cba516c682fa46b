"""The offline verifier: one pass over a stored log that names the first wrong index.

What can be said depends on what is there to compare with, from the most exact to the least:

- the position and the level-0 tile name one index;
- an upper tile or a checkpoint that the entries no longer lead to names a range, from the last head that
  held;
- a checkpoint that somebody outside holds finds what our own records cannot show: a tail cut off together
  with its tiles and checkpoints, or a history rewritten and signed again with the log key.

Nothing outside reaches beyond ``witnessed_size``: from there on the log is only as honest as whoever keeps
it.
"""

import heapq
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Final, Literal, Protocol

from gateway.audit.checkpoint import VerifierKey, parse, verify
from gateway.audit.entry import MasterEntry, PartnerEntry, parse_master_entry, parse_partner_entry
from gateway.audit.tree import HASH_BYTES, TILE_HEIGHT, TILE_WIDTH, Frontier, TileReader, leaf_hash
from gateway.audit.witness import Cosignature, WitnessKey, cosignatures
from gateway.errors import AuditBroken

#: How far an entry's time may lie before the latest one seen: the skew the gateway allows a clock to be set
#: back by.
ALLOWED_SKEW: Final = timedelta(seconds=300)

#: ``verified``: everything stored agrees, up to the last signed checkpoint. ``unsealed``: nothing disagrees,
#: but no checkpoint covers any entry, so nothing is proven. ``truncated``: entries are missing at the end.
#: ``broken``: the rest.
Status = Literal["verified", "unsealed", "truncated", "broken"]

Reason = Literal[
    "position-missing",  # a hole: the index that should come next is not there
    "position-repeated",  # an index comes a second time
    "entry-changed",  # an entry does not hash to its leaf in the level-0 tile
    "tile-missing",  # the level-0 tile has no leaf at an entry's index
    "entry-malformed",  # an entry agrees with the tree but is no valid entry of this kind of log
    "tile-changed",  # an upper tile does not hold the root of the leaves under it
    "checkpoint-root",  # the entries do not lead to the root of one of our own checkpoints
    "checkpoint-conflict",  # two signed checkpoints of one size have different roots
    "checkpoint-invalid",  # a stored note is malformed, of another log, out of order, or its signature fails
    "no-checkpoint",  # there are entries, and no checkpoint covers one
    "tail-unsealed",  # what should end at a checkpoint goes on after its last one
    "tail-missing",  # a tile or one of our own checkpoints knows more entries than are there
    "held-tail-missing",  # a held checkpoint knows more entries than are there
    "held-root",  # the entries do not lead to the root of a held checkpoint
    "held-invalid",  # a held note is malformed, of another log, or its signature fails
    "unreadable",  # the source, its origin or one of its pieces cannot be read
]


class LogSource(Protocol):
    """One stored log. Methods and iterators may raise AuditBroken for what is stored but cannot be read;
    nothing they hand out is trusted."""

    @property
    def origin(self) -> str:
        """Which log this claims to be (``ecluse/<org>/master`` or ``ecluse/<org>/partner/<org>``)."""
        ...

    @property
    def tiles(self) -> TileReader: ...

    def entries(self) -> Iterator[tuple[int, bytes]]:
        """Stored position and bytes of every entry, in stored order, holes and repetitions included."""
        ...

    def checkpoints(self) -> Iterator[bytes]:
        """Every signed note of this log, by ascending size."""
        ...


@dataclass(frozen=True, slots=True)
class LogVerdict:
    """What one pass found; a report, never an authorisation.

    ``size`` and ``root`` describe the entries found in place before the first fault (all when there is none).
    Entries below ``sealed_size`` are covered by a signed checkpoint that held, ``unsealed`` more are not;
    those below ``witnessed_size`` are covered by a checkpoint held outside, or cosigned by a witness.
    ``cosignatures`` are those of the known witnesses, by size. ``first_wrong_index`` is exact when it equals
    ``last_wrong_index``, otherwise the first fault lies between the two, both included; both are None when the
    fault lies in no entry. Of a truncated log it is the first that is missing: those from ``sealed_size`` to
    there are under no head that is left, and whoever made tiles anew may have changed them.
    ``clock_back_index`` notes the first entry whose time lies more than the allowed skew before an earlier
    one's; that alone is no fault.
    """

    origin: str
    status: Status
    size: int
    root: bytes
    sealed_size: int
    witnessed_size: int
    checkpoints_checked: int
    first_wrong_index: int | None = None
    last_wrong_index: int | None = None
    reason: Reason | None = None
    clock_back_index: int | None = None
    cosignatures: tuple[Cosignature, ...] = ()

    @property
    def unsealed(self) -> int:
        return self.size - self.sealed_size


def verify_log(
    source: LogSource,
    vkeys: Sequence[VerifierKey],
    *,
    held: Sequence[bytes] = (),
    witnesses: Sequence[WitnessKey] = (),
    ended: bool = False,
) -> LogVerdict:
    """Verify a whole log offline against its own checkpoints and those that partners or reviewers ``held``.

    ``vkeys`` are the keys trusted for this log; an empty list proves nothing. A checkpoint that one of
    ``witnesses`` cosigned counts as held outside, wherever it lies; one whose known cosignature fails is refused.
    Linear in time; memory does not grow with the log. Stops at the first fault and never raises for what the log
    holds. For each entry in stored order: (1) its position is the next index; (2) its leaf hash stands in the
    level-0 tile; (3) it is a canonical entry, and its time is noted; (4) every upper tile hash it completes follows
    from the leaves below; (5) every checkpoint at the size reached, ours or held, has the root computed from the
    entries. At the end: (6) no tile and no checkpoint knows a longer log; (7) no note was refused, and some
    checkpoint covers some entry, or the last one where the log is ``ended``, as an export is.

    Not checked: that the source is the log asked for (compare ``origin``), and that a recent checkpoint exists:
    whoever drops the newest notes may change what they alone covered, which shows as ``unsealed`` and, for what
    somebody holds, as a fault.
    """
    run = _Run(source, vkeys, witnesses)
    try:
        run.walk(held, ended)
    except _Fault as fault:
        return run.verdict(fault)
    except AuditBroken:
        return run.verdict(_Fault("broken", "unreadable", run.frontier.size))
    return run.verdict(None)


class _Fault(Exception):
    """The first fault; ends the pass."""

    def __init__(self, status: Status, reason: Reason, first: int | None, last: int | None = None) -> None:
        self.status, self.reason, self.first = status, reason, first
        self.last = first if last is None else last


@dataclass(frozen=True, slots=True)
class _Anchor:
    """A signed head to compare with: one of our own, or one held outside."""

    size: int
    root: bytes
    held: bool
    cosigned: tuple[Cosignature, ...]


class _Run:
    """The state of one pass."""

    def __init__(
        self, source: LogSource, vkeys: Sequence[VerifierKey], witnesses: Sequence[WitnessKey]
    ) -> None:
        self._source, self._vkeys, self._witnesses = source, vkeys, witnesses
        self._cosigned: list[Cosignature] = []
        self.frontier = Frontier()
        self._origin = ""
        self._sealed = self._witnessed = self._checked = 0
        self._refused: Reason | None = None
        self._latest = datetime.min.replace(tzinfo=UTC)
        self._clock_back: int | None = None

    def walk(self, held: Sequence[bytes], ended: bool) -> None:
        self._origin = self._source.origin
        parse = _entry_parser(self._origin)
        tiles = self._source.tiles
        anchors = heapq.merge(self._own(), self._held(held), key=lambda anchor: anchor.size)
        anchor = self._settle(next(anchors, None), anchors)
        leaves = b""
        for position, raw in self._source.entries():
            index = self.frontier.size
            # (1)
            if position != index:
                reason: Reason = "position-repeated" if 0 <= position < index else "position-missing"
                raise _Fault("broken", reason, max(0, min(position, index)))  # no index lies below 0
            # (2)
            offset = index % TILE_WIDTH
            if offset == 0:
                leaves = tiles.read(0, index // TILE_WIDTH)
            leaf = leaf_hash(raw)
            stored = leaves[offset * HASH_BYTES : (offset + 1) * HASH_BYTES]
            if len(stored) != HASH_BYTES:
                raise _Fault("broken", "tile-missing", index)
            if stored != leaf:
                raise _Fault("broken", "entry-changed", index)
            # (3)
            try:
                at = parse(raw).at
            except AuditBroken:
                raise _Fault("broken", "entry-malformed", index) from None
            if self._latest - at > ALLOWED_SKEW and self._clock_back is None:
                self._clock_back = index
            self._latest = max(self._latest, at)
            # (4)
            completed = self.frontier.push(leaf)
            for height in range(TILE_HEIGHT, len(completed), TILE_HEIGHT):
                self._check_upper(tiles, height, completed[height])
            # (5)
            anchor = self._settle(anchor, anchors)
        # (6)
        self._check_tail(tiles, anchor, anchors)
        # (7)
        size = self.frontier.size
        if self._refused:
            unproven = self._refused == "checkpoint-invalid" and self._sealed < size
            raise _Fault("broken", self._refused, self._sealed if unproven else None, size - 1)
        if size and not self._sealed:
            raise _Fault("unsealed", "no-checkpoint", None)
        if ended and self._sealed < size:
            raise _Fault("broken", "tail-unsealed", self._sealed, size - 1)

    def verdict(self, fault: _Fault | None) -> LogVerdict:
        return LogVerdict(
            origin=self._origin,
            status=fault.status if fault else "verified",
            size=self.frontier.size,
            root=self.frontier.root(),
            sealed_size=self._sealed,
            witnessed_size=self._witnessed,
            checkpoints_checked=self._checked,
            first_wrong_index=fault.first if fault else None,
            last_wrong_index=fault.last if fault and fault.first is not None else None,
            reason=fault.reason if fault else None,
            clock_back_index=self._clock_back,
            cosignatures=tuple(self._cosigned),
        )

    def _own(self) -> Iterator[_Anchor]:
        """Our own signed heads. A note that does not verify anchors nothing; the pass goes on, since an entry
        at fault further on says more, and ends in refusal."""
        previous = 0
        for note in self._source.checkpoints():
            anchor = self._anchor(note, held=False)
            if anchor is not None and anchor.size >= previous:
                previous = anchor.size
                yield anchor
            else:
                self._refused = self._refused or "checkpoint-invalid"

    def _held(self, notes: Sequence[bytes]) -> list[_Anchor]:
        anchors = [self._anchor(note, held=True) for note in notes]
        if None in anchors:
            self._refused = "held-invalid"
        return sorted((anchor for anchor in anchors if anchor), key=lambda anchor: anchor.size)

    def _anchor(self, note: bytes, *, held: bool) -> _Anchor | None:
        try:
            checkpoint = verify(note, self._vkeys, origin=self._origin).checkpoint
            cosigned = cosignatures(parse(note), self._witnesses)
        except AuditBroken:
            return None
        return _Anchor(checkpoint.size, checkpoint.root, held or bool(cosigned), cosigned)

    def _settle(self, anchor: _Anchor | None, rest: Iterator[_Anchor]) -> _Anchor | None:
        """Compare every head of the size reached; returns the first head beyond it."""
        size = self.frontier.size
        if anchor is None or anchor.size != size:
            return anchor
        root = self.frontier.root()
        while anchor is not None and anchor.size == size:
            self._checked += 1
            if anchor.root != root:
                self._disagree(anchor)
            self._sealed = size
            self._cosigned += anchor.cosigned
            if anchor.held:
                self._witnessed = size
            anchor = next(rest, None)
        return anchor

    def _disagree(self, anchor: _Anchor) -> None:
        """The entries do not lead to a signed head. They did up to the head that held last; but against a
        held one only another held one counts, since whoever holds the log key can sign a rewritten history
        again."""
        good = self._witnessed if anchor.held else self._sealed
        if good == anchor.size:
            raise _Fault("broken", "checkpoint-conflict", None)
        raise _Fault("broken", "held-root" if anchor.held else "checkpoint-root", good, anchor.size - 1)

    def _check_upper(self, tiles: TileReader, height: int, expected: bytes) -> None:
        size = self.frontier.size
        tile, offset = divmod((size >> height) - 1, TILE_WIDTH)
        stored = tiles.read(height // TILE_HEIGHT, tile)[offset * HASH_BYTES : (offset + 1) * HASH_BYTES]
        if stored != expected:
            raise _Fault("broken", "tile-changed", max(self._sealed, size - (1 << height)), size - 1)

    def _check_tail(self, tiles: TileReader, anchor: _Anchor | None, rest: Iterator[_Anchor]) -> None:
        size = self.frontier.size
        if anchor is not None:
            reason: Reason = "held-tail-missing" if anchor.held else "tail-missing"
            longest = max(other.size for other in chain([anchor], rest))
            raise _Fault("truncated", reason, size, longest - 1)
        level, count = 0, size
        while True:
            tile, width = divmod(count, TILE_WIDTH)
            if len(tiles.read(level, tile)) > width * HASH_BYTES:
                raise _Fault("truncated", "tail-missing", size)
            if count == 0:
                return
            level, count = level + 1, count // TILE_WIDTH


def _entry_parser(origin: str) -> Callable[[bytes], PartnerEntry | MasterEntry]:
    if origin.endswith("/master"):
        return parse_master_entry
    if "/partner/" in origin:
        return parse_partner_entry
    raise AuditBroken("the origin names no kind of log", diagnostic={"rule": "origin"})
