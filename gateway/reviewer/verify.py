#!/usr/bin/env python3
"""Check an exported audit log without trusting whoever exported it. Standard library only, Python 3.9 or newer.

    python3 verify.py FOLDER --key VKEY [--witness VKEY] [--held NOTE] [--json]

FOLDER holds logs as files (C2SP tlog-tiles, RFC 9162). It says of each: whether it is complete and untampered up to a
signed head; up to which index somebody outside vouches for it (a --held note as a partner received it, or a cosignature
by a --witness); what was erased, on whose order; and who did what how often. --key are the log's public keys, got from
elsewhere than the export: with none, nothing is proven. Exit code 0: all logs are proven; 1: not; 2: wrong usage.

Not checked: whether what the entries say is true; any time but a cosignature's; ML-DSA signatures, shown as unchecked.
Written from RFC 9162, RFC 8032 and the C2SP texts alone, and shares no code with what it checks.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

# --- Ed25519, verification only (RFC 8032 section 5.1.7)
Point = tuple[int, int, int, int]  # extended coordinates
PRIME = 2**255 - 19
ORDER = 2**252 + 27742317777372353535851937790883648493
CURVE_D = -121665 * pow(121666, PRIME - 2, PRIME) % PRIME
ROOT_OF_MINUS_1 = pow(2, (PRIME - 1) // 4, PRIME)


def decompress(raw: bytes) -> Point | None:
    """The point of these 32 bytes; None where there is none."""
    number = int.from_bytes(raw, "little")
    y, sign = number & (2**255 - 1), number >> 255
    square = (y * y - 1) * pow(CURVE_D * y * y + 1, PRIME - 2, PRIME) % PRIME
    x = pow(square, (PRIME + 3) // 8, PRIME)
    if (x * x - square) % PRIME:
        x = x * ROOT_OF_MINUS_1 % PRIME
    if y >= PRIME or (x * x - square) % PRIME or (x == 0 and sign):
        return None
    x = PRIME - x if x & 1 != sign else x
    return x, y, 1, x * y % PRIME


def add(p: Point, q: Point) -> Point:
    a, b = (p[1] - p[0]) * (q[1] - q[0]) % PRIME, (p[1] + p[0]) * (q[1] + q[0]) % PRIME
    c, d = 2 * p[3] * q[3] * CURVE_D % PRIME, 2 * p[2] * q[2] % PRIME
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % PRIME, g * h % PRIME, f * g % PRIME, e * h % PRIME


def times(scalar: int, point: Point) -> Point:
    result: Point = (0, 1, 1, 0)
    while scalar:
        if scalar & 1:
            result = add(result, point)
        point, scalar = add(point, point), scalar >> 1
    return result


BASE = decompress((4 * pow(5, PRIME - 2, PRIME) % PRIME).to_bytes(32, "little"))


def ed25519_holds(public: bytes, signature: bytes, message: bytes) -> bool:
    """Whether this is the key's signature over the message; an s of the group's order or more is refused."""
    key, r, s = decompress(public), decompress(signature[:32]), int.from_bytes(signature[32:], "little")
    if key is None or r is None or BASE is None or s >= ORDER or (len(public), len(signature)) != (32, 64):
        return False
    k = int.from_bytes(hashlib.sha512(signature[:32] + public + message).digest(), "little") % ORDER
    left, right = times(s, BASE), add(r, times(k, key))
    return not any((left[i] * right[2] - right[i] * left[2]) % PRIME for i in (0, 1))


# --- notes and keys (C2SP signed-note, tlog-checkpoint, tlog-cosignature)
LOG_KEY, COSIGNER, COSIGNER_MLDSA = 1, 4, 6  # signature types
LEAF, NODE = b"\x00", b"\x01"  # prefixes of RFC 9162 section 2.1.1


def b64(text: str) -> bytes:
    """Canonical base64 only: a second spelling is a second history."""
    raw = base64.b64decode(text, validate=True)
    if base64.b64encode(raw).decode() != text:
        raise ValueError("base64")
    return raw


class Key:
    """A public key, ``name+hash+base64(type || key)``."""

    def __init__(self, text: str) -> None:
        self.name, given, encoded = text.split("+", 2)
        tagged = b64(encoded)
        self.type, self.public = tagged[0], tagged[1:]
        self.id = sha256(self.name.encode(), b"\n", tagged)[:4]
        if self.id.hex() != given or self.type not in (LOG_KEY, COSIGNER, COSIGNER_MLDSA):
            raise ValueError("the hash of a key does not fit, or its type is unknown")


class Note:
    """A head, taken apart; nothing is believed yet."""

    def __init__(self, raw: bytes) -> None:
        body, blank, tail = raw.decode("utf-8").rpartition("\n\n")
        lines = body.split("\n")
        sized = len(lines) == 3 and re.fullmatch("0|[1-9][0-9]{0,18}", lines[1])
        if not blank or not sized or not tail.endswith("\n"):
            raise ValueError("not a checkpoint")
        self.origin, self.size, self.root = lines[0], int(lines[1]), b64(lines[2])
        self.text = (body + "\n").encode()
        self.signatures: list[tuple[str, bytes, bytes]] = []
        for line in tail[:-1].split("\n"):
            match = re.fullmatch("\u2014 ([^ +]+) ([A-Za-z0-9+/]+={0,2})", line)
            if not match or len(b64(match[2])) < 5:  # a key's id, and something
                raise ValueError("not a signature line")
            self.signatures.append((match[1], b64(match[2])[:4], b64(match[2])[4:]))

    def signed_by(self, keys: Sequence[Key]) -> bool:
        """Whether a log key signed whose name owns the log; a known key's signature that fails spoils the note."""
        found = False
        for name, key_id, signature in self.signatures:
            for key in [key for key in keys if (key.name, key.id, key.type) == (name, key_id, LOG_KEY)]:
                if not ed25519_holds(key.public, signature, self.text):
                    return False
                found = found or self.origin.startswith(key.name + "/")
        return found

    def cosigned_by(self, witnesses: Sequence[Key]) -> Iterator[dict[str, Any]]:
        """Each cosignature by a known witness: of Ed25519 those that hold, of ML-DSA all, as not checked."""
        for name, key_id, signature in self.signatures:
            for key in witnesses:
                if (key.name, key.id) == (name, key_id) and len(signature) > 8:
                    at = int.from_bytes(signature[:8], "big")
                    signed = b"cosignature/v1\ntime %d\n" % at + self.text
                    checked = key.type == COSIGNER and ed25519_holds(key.public, signature[8:], signed)
                    if checked or key.type == COSIGNER_MLDSA:
                        yield {"name": name, "size": self.size, "time": at, "checked": checked}


# --- the tree (RFC 9162 section 2.1)
def sha256(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()


class Tree:
    """The perfect subtrees of what came so far, largest first."""

    def __init__(self) -> None:
        self.size = 0
        self.peaks: list[tuple[int, bytes]] = []

    def push(self, leaf: bytes) -> list[bytes]:
        """Adds one leaf; the roots of the perfect subtrees it completes, by height."""
        self.size += 1
        completed, width, root = [leaf], 1, leaf
        while self.peaks and self.peaks[-1][0] == width:
            root, width = sha256(NODE, self.peaks.pop()[1], root), width * 2
            completed.append(root)
        self.peaks.append((width, root))
        return completed

    def root(self) -> bytes:
        *rest, root = [root for _, root in self.peaks] or [sha256()]
        for left in reversed(rest):
            root = sha256(NODE, left, root)
        return root


def climb(fn: int, sn: int, path: Iterable[bytes]) -> Iterator[tuple[bytes, bool]]:
    """Walk a proof upwards: each hash, and whether it stands to the left; ValueError for one too many or too few."""
    for one in path:
        if sn == 0 or len(one) != 32:
            raise ValueError("the proof has a hash too many, or one of another length")
        left = bool(fn & 1) or fn == sn
        if left:
            while not fn & 1 and fn:
                fn, sn = fn >> 1, sn >> 1
        yield one, left
        fn, sn = fn >> 1, sn >> 1
    if sn:
        raise ValueError("the proof has a hash too few")


def inclusion_holds(index: int, size: int, leaf: bytes, path: Sequence[bytes], root: bytes) -> bool:
    """RFC 9162 section 2.1.3.2."""
    if not 0 <= index < size:
        return False
    try:
        for one, left in climb(index, size - 1, path):
            leaf = sha256(NODE, one, leaf) if left else sha256(NODE, leaf, one)
    except ValueError:
        return False
    return leaf == root


def consistency_holds(first: int, second: int, path: Sequence[bytes], was: bytes, root: bytes) -> bool:
    """RFC 9162 section 2.1.4.2; one size needs no path, and between an empty tree and another there is none."""
    if not 0 < first < second:
        return first == second and not path and was == root
    path = list(path) if first & (first - 1) else [was, *path]
    fn, sn = first - 1, second - 1
    while fn & 1:
        fn, sn = fn >> 1, sn >> 1
    try:
        old = new = path[0]
        for one, left in climb(fn, sn, path[1:]):
            old = sha256(NODE, one, old) if left else old
            new = sha256(NODE, one, new) if left else sha256(NODE, new, one)
    except (ValueError, IndexError):
        return False
    return (old, new) == (was, root)


# --- a log as files (C2SP tlog-tiles)
ENTRIES = -1  # stands for the level of entry bundles
TILE = re.compile(r"(entries|[0-9]{1,2})/((?:x[0-9]{3}/)*[0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?")


class Fault(Exception):
    """What is wrong, and the first index at which it may be (None: at no entry)."""


class Log:
    """The files of one log."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        widest: dict[tuple[int, int], tuple[int, Path]] = {}
        for path in (folder / "tile").rglob("*"):
            match = TILE.fullmatch(path.relative_to(folder / "tile").as_posix())
            if match and path.is_file():
                level = ENTRIES if match[1] == "entries" else int(match[1])
                place = level, int(match[2].replace("x", "").replace("/", ""))
                widest[place] = max(widest.get(place, (0, path)), (int(match[3] or 256), path))
        self.tiles = {place: path for place, (_, path) in widest.items()}

    def hashes(self, level: int, number: int) -> bytes:
        return self.tiles[level, number].read_bytes() if (level, number) in self.tiles else b""

    def entries(self) -> Iterator[bytes]:
        """Every entry in order; a bundle that is missing or not full ends them."""
        index = number = 0
        while index == number * 256 and (ENTRIES, number) in self.tiles:
            bundle, at = self.hashes(ENTRIES, number), 0
            while at < len(bundle):
                end = at + 2 + int.from_bytes(bundle[at : at + 2], "big")
                if end > len(bundle):
                    raise Fault("an entry bundle ends within an entry", index)
                yield bundle[at + 2 : end]
                index, at = index + 1, end
            number += 1


class Check:
    """One pass over a log, to its first fault; its public attributes are the report, and what was proven stands."""

    def __init__(self, keys: Sequence[Key], witnesses: Sequence[Key], held: Sequence[Note]) -> None:
        self._keys, self._witnesses, self._held, self._tree = keys, witnesses, held, Tree()
        self.log = self.fault = ""
        self.first_wrong_index: int | None = None
        self.entries = self.signed_up_to = self.witnessed_up_to = 0
        self.acts: dict[str, dict[str, int]] = {}  # actor -> event -> count
        self.cosignatures: list[dict[str, Any]] = []
        self.erased: dict[int, Any] = {}  # entry of an erasure -> what its list says

    def run(self, log: Log) -> Check:
        try:
            self._walk(log)
            self._erasures(log.folder / "erasures.json")
        except Fault as fault:
            self.fault, self.first_wrong_index = fault.args[0], (*fault.args, None)[1]
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            self.fault = "a file of the log cannot be read"
        self.entries = self._tree.size
        return self

    def _walk(self, log: Log) -> None:
        """(1) the heads are of one log, each in its place; each entry (2) hashes to its leaf, (3) completes only
        tiles that follow, (4) has its one form, (5) leads to every head of its size; (6) nothing knows of more."""
        # (1)
        tree, paths = self._tree, [log.folder / "checkpoint", *(log.folder / "checkpoints").glob("*")]
        try:
            notes = [Note(path.read_bytes()) for path in paths]
        except ValueError:
            raise Fault("a head of the log cannot be read") from None
        self.log, sizes = notes[0].origin, [note.size for note in notes]
        if any(note.origin != self.log for note in notes):
            raise Fault("a head is of another log")
        if [path.name for path in paths[1:]] != [*map(str, sizes[1:])] or sizes[0] < max(sizes):
            raise Fault("a head stands under another's name")
        heads = [(n, False) for n in notes] + [(n, True) for n in self._held if n.origin == self.log]
        heads = sorted((head for head in heads if head[0].size), key=lambda head: head[0].size)
        leaves = b""
        for raw in log.entries():
            index = tree.size
            # (2)
            leaves = leaves if index % 256 else log.hashes(0, index // 256)
            leaf = sha256(LEAF, raw)
            if leaves[index % 256 * 32 : index % 256 * 32 + 32] != leaf:
                raise Fault("an entry does not hash to its leaf", index)
            # (3)
            completed = tree.push(leaf)
            for height in range(8, len(completed), 8):
                number, offset = divmod((tree.size >> height) - 1, 256)
                if log.hashes(height // 8, number)[offset * 32 : offset * 32 + 32] != completed[height]:
                    raise Fault("an upper tile does not follow from its leaves", tree.size - (1 << height))
            # (4)
            try:
                self._note(raw)
            except (ValueError, KeyError, TypeError, RecursionError):
                raise Fault("an entry has not its one form", index) from None
            # (5)
            while heads and heads[0][0].size == tree.size:
                self._settle(*heads.pop(0))
        # (6)
        for level, number in log.tiles:
            known = number * 256 + -(-len(log.hashes(level, number)) // 32)  # a torn hash is one too
            if level != ENTRIES and known > tree.size >> (8 * level):
                raise Fault("a tile knows of more entries than are there", tree.size)
        if heads:
            raise Fault("a head knows of more entries than are there", tree.size)
        if self.signed_up_to < tree.size or not tree.size:
            raise Fault("no signed head covers the last entries", self.signed_up_to)

    def _settle(self, note: Note, outside: bool) -> None:
        """Compare one head, of the export or held outside, with the root that the entries lead to."""
        if not note.signed_by(self._keys):
            raise Fault("a held head is not the log's" if outside else "a head is not signed by a key given")
        if note.root != self._tree.root():
            raise Fault("a head has another root", self.witnessed_up_to if outside else self.signed_up_to)
        self.signed_up_to = note.size
        cosigned = list(note.cosigned_by(self._witnesses))
        self.cosignatures += cosigned
        if outside or any(one["checked"] for one in cosigned):
            self.witnessed_up_to = note.size

    def _note(self, raw: bytes) -> None:
        """An entry has one spelling; one of the master log says who did what."""
        entry = json.loads(raw)
        if json.dumps(entry, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode() != raw:
            raise ValueError("spelling")
        if "actor" in entry:
            acts = self.acts.setdefault(entry["actor"], {})
            acts[entry["event"]] = acts.get(entry["event"], 0) + 1
            if entry["event"] == "erasure":
                self.erased[self._tree.size - 1] = entry["detail"]

    def _erasures(self, path: Path) -> None:
        """What was lawfully erased: each list must be the one its entry commits to, and each such entry has one."""
        lists = {one["entry"]: one for one in json.loads(path.read_bytes())} if self.erased else {}
        for index, committed in self.erased.items():
            salt, detail = bytes.fromhex(lists[index]["salt"]), lists[index]["detail"].encode()
            if sha256(b"ecluse/detail/1\n", salt, sha256(detail)).hex() != committed:
                raise Fault("an erasure has not the list that its entry commits to", index)
            self.erased[index] = json.loads(detail)

    def __str__(self) -> str:
        wrong = "" if self.first_wrong_index is None else f", first at index {self.first_wrong_index}"
        whole = self.entries and self.witnessed_up_to == self.entries
        lines = [
            self.log or "a log without a name",
            f"entries    {self.entries}, {self.signed_up_to} of them under a signed head",
            f"verdict    {f'NOT PROVEN: {self.fault}{wrong}' if self.fault else 'complete and untampered'}",
            f"witnessed  {'whole' if whole else f'UNWITNESSED since index {self.witnessed_up_to}'}",
            *(f"  {one}" for one in self.cosignatures),
            *(f"  erased by entry {index}: {what}" for index, what in self.erased.items()),
            *(f"  {actor}: {acts}" for actor, acts in sorted(self.acts.items())),
        ]
        return "\n  ".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("folder", type=Path)
    for name in ("--key", "--witness", "--held"):
        parser.add_argument(name, action="append", default=[])
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    try:
        keys, witnesses = [Key(text) for text in options.key], [Key(text) for text in options.witness]
        held = [Note(Path(path).read_bytes()) for path in options.held]
    except (ValueError, IndexError, OSError):
        parser.error("a key or a held head cannot be read")
    folders = sorted(path.parent for path in options.folder.rglob("checkpoint") if path.is_file())
    checks = [Check(keys, witnesses, held).run(Log(folder)) for folder in folders]
    missing = sorted({note.origin for note in held} - {check.log for check in checks})
    proven = bool(checks) and not missing and not any(check.fault for check in checks)
    if options.json:
        logs = [{name: what for name, what in vars(check).items() if name[0] != "_"} for check in checks]
        print(json.dumps({"proven": proven, "logs": logs, "missing_logs": missing}, indent=1))
    else:
        print(*checks, *(f"{log}\n  verdict    MISSING: somebody holds a head" for log in missing), sep="\n")
    return 0 if proven else 1


if __name__ == "__main__":
    sys.exit(main())
