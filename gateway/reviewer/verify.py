#!/usr/bin/env python3
"""Check an exported audit log without trusting whoever exported it. Standard library only, Python 3.9 or newer.

    python3 verify.py FOLDER --key VKEY [--witness VKEY] [--held NOTE] [--json]

FOLDER holds logs as files (C2SP tlog-tiles, RFC 9162). It says of each: whether it is complete and untampered up to a
signed head; up to which index somebody outside vouches for it (a --held note as a partner received it, or a cosignature
by a --witness); what was erased, on whose order; what was declared lost, and by whom; who did and read what. --key are
the log's public keys, got from elsewhere than the export: with none, nothing is proven. Exit code 0: all logs are
proven; 1: not; 2: wrong usage. Not checked: whether what the entries say is true; any time but a cosignature's; ML-DSA
signatures, shown as unchecked, and those of officers. Written from RFC 9162, RFC 8032 and the C2SP texts alone.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from functools import reduce
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
    sign, y = divmod(int.from_bytes(raw, "little"), 2**255)
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
    rest = times(scalar >> 1, add(point, point)) if scalar else (0, 1, 1, 0)
    return add(rest, point) if scalar & 1 else rest


def ed25519_holds(public: bytes, signature: bytes, message: bytes) -> bool:
    """Whether this is the key's signature over the message; an s of the group's order or more is refused."""
    key, r, s = decompress(public), decompress(signature[:32]), int.from_bytes(signature[32:], "little")
    base = decompress((4 * pow(5, PRIME - 2, PRIME) % PRIME).to_bytes(32, "little"))
    if key is None or r is None or base is None or s >= ORDER or (len(public), len(signature)) != (32, 64):
        return False
    k = int.from_bytes(hashlib.sha512(signature[:32] + public + message).digest(), "little") % ORDER
    left, right = times(s, base), add(r, times(k, key))
    return not any((left[i] * right[2] - right[i] * left[2]) % PRIME for i in (0, 1))


LOG_KEY, COSIGNER, COSIGNER_MLDSA = 1, 4, 6  # signature types
LEAF, NODE = b"\x00", b"\x01"  # prefixes of RFC 9162 section 2.1.1


def b64(text: str) -> bytes:
    """Canonical base64 only: a second spelling is a second history."""
    if base64.b64encode(raw := base64.b64decode(text, validate=True)).decode() != text:
        raise ValueError("base64")
    return raw


class Key:  # a public key (C2SP signed-note), name+hash+base64(type || key)
    def __init__(self, text: str) -> None:
        self.name, given, encoded = text.split("+", 2)
        tagged = b64(encoded)
        self.type, self.public = tagged[0], tagged[1:]
        self.id = sha256(self.name.encode(), b"\n", tagged)[:4]
        if self.id.hex() != given or self.type not in (LOG_KEY, COSIGNER, COSIGNER_MLDSA):
            raise ValueError("the hash of a key does not fit, or its type is unknown")


class Note:  # a head (C2SP tlog-checkpoint, tlog-cosignature), taken apart; nothing is believed yet
    def __init__(self, raw: bytes) -> None:
        body, blank, tail = raw.decode("utf-8").rpartition("\n\n")
        lines = body.split("\n")
        sized = len(lines) == 3 and re.fullmatch("0|[1-9][0-9]{0,18}", lines[1])
        if not blank or not sized or not tail.endswith("\n"):
            raise ValueError("not a checkpoint")
        self.origin, self.size, self.root = lines[0], int(lines[1]), b64(lines[2])
        self.text, self.signatures = (body + "\n").encode(), list[tuple[str, bytes, bytes]]()
        for line in tail[:-1].split("\n"):
            match = re.fullmatch("\u2014 ([^ +]+) ([A-Za-z0-9+/]+={0,2})", line)
            if not match or len(b64(match[2])) < 5:  # a key's id, and something
                raise ValueError("not a signature line")
            self.signatures.append((match[1], b64(match[2])[:4], b64(match[2])[4:]))

    def signed_by(self, keys: Sequence[Key]) -> list[bytes]:
        """The log keys that signed whose name owns the log; a known key's signature that fails spoils the note."""
        found = []
        for name, key_id, signature in self.signatures:
            for key in [key for key in keys if (key.name, key.id, key.type) == (name, key_id, LOG_KEY)]:
                if not ed25519_holds(key.public, signature, self.text):
                    return []
                found += [key.public] * self.origin.startswith(key.name + "/")
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


def sha256(*parts: bytes) -> bytes:
    return hashlib.sha256(b"".join(parts)).digest()


class Tree:  # RFC 9162 section 2.1: the perfect subtrees of what came so far, largest first
    def __init__(self) -> None:
        self.size, self.peaks = 0, list[tuple[int, bytes]]()

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
        roots = [root for _, root in reversed(self.peaks)] or [sha256()]
        return reduce(lambda right, left: sha256(NODE, left, right), roots)


def climb(fn: int, sn: int, path: Iterable[bytes]) -> Iterator[tuple[bytes, bool]]:
    """Walk a proof upwards: each hash, and whether it stands to the left; ValueError for one too many or too few."""
    for one in path:
        if sn == 0 or len(one) != 32:
            raise ValueError("the proof has a hash too many, or one of another length")
        left = bool(fn & 1) or fn == sn
        while left and fn and not fn & 1:
            fn, sn = fn >> 1, sn >> 1
        yield one, left
        fn, sn = fn >> 1, sn >> 1
    if sn:
        raise ValueError("the proof has a hash too few")


def inclusion_holds(index: int, size: int, leaf: bytes, path: Sequence[bytes], root: bytes) -> bool:
    """RFC 9162 section 2.1.3.2."""
    try:
        for one, left in climb(index, size - 1, path):
            leaf = sha256(NODE, one, leaf) if left else sha256(NODE, leaf, one)
    except ValueError:
        return False
    return 0 <= index < size and leaf == root


def consistency_holds(first: int, second: int, path: Sequence[bytes], was: bytes, root: bytes) -> bool:
    """RFC 9162 section 2.1.4.2; one size needs no path, and between an empty tree and another there is none."""
    if not 0 < first < second:
        return first == second and not path and was == root
    path = list(path) if first & (first - 1) else [was, *path]
    low = first & -first  # as often as first is even, both are shifted
    try:
        old = new = path[0]
        for one, left in climb(first // low - 1, (second - 1) // low, path[1:]):
            old = sha256(NODE, one, old) if left else old
            new = sha256(NODE, one, new) if left else sha256(NODE, new, one)
    except (ValueError, IndexError):
        return False
    return (old, new) == (was, root)


ENTRIES = -1  # stands for the level of entry bundles
TILE = re.compile(r"(entries|[0-9]{1,2})/((?:x[0-9]{3}/)*[0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?")


class Fault(Exception):
    """What is wrong, and the first index at which it may be (None: at no entry)."""


class Log:  # the files of one log (C2SP tlog-tiles)
    def __init__(self, folder: Path) -> None:
        self.folder, self.tiles = (
            folder,
            dict[tuple[int, int], tuple[int, Path]](),
        )  # the widest of each place
        for path in (folder / "tile").rglob("*"):
            match = TILE.fullmatch(path.relative_to(folder / "tile").as_posix())
            if match and path.is_file():
                level = ENTRIES if match[1] == "entries" else int(match[1])
                place = level, int(match[2].replace("x", "").replace("/", ""))
                self.tiles[place] = max(self.tiles.get(place, (0, path)), (int(match[3] or 256), path))

    def hashes(self, level: int, number: int) -> bytes:
        return self.tiles[level, number][1].read_bytes() if (level, number) in self.tiles else b""

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


def losses_in(path: Path) -> Iterator[dict[str, Any]]:
    """What officers declared with each epoch, log by log; it counts for nothing before a proven entry commits to it."""
    for one in json.loads(path.read_bytes()) if path.is_file() else ():
        raw, said, signed = b64(one["detail"]), json.loads(one["document"]), one["endorsements"]
        if any(text.encode() not in raw for text in (one["document"], *signed)):
            raise ValueError("a declaration is not what its entry commits to")
        words = [text.split(".")[-2:][0] + "==" for text in (said["log_key"]["public"], *signed)]
        key, *acts = map(base64.urlsafe_b64decode, words)
        commitment = sha256(b"ecluse/detail/1\n", bytes.fromhex(one["salt"]), sha256(raw)).hex()
        who = {"by": [json.loads(act)["officer"] for act in acts], "at": said["at"], "entry": one["entry"]}
        who |= {"epoch": said["number"], "key": key.hex(), "commitment": commitment}
        for log in said["logs"]:
            yield {"log": log["origin"], "first": log["size"], "last": log["known"] - 1, **who}


class Check:
    """One pass over a log, to its first fault; its public attributes are the report, and what was proven stands."""

    def __init__(self, keys: list[Key], witnesses: list[Key], held: list[Note], losses: Any = ()) -> None:
        self._keys, self._witnesses, self._tree = keys, witnesses, Tree()
        self._held, self._losses = held, losses
        self.log = self.fault = ""
        self.first_wrong_index: int | None = None
        self.entries = self.signed_up_to = self.witnessed_up_to = 0
        self.acts: dict[str, dict[str, int]] = {}  # actor -> event -> count
        self.reads: dict[str, list[str]] = {}  # actor -> ids of what was read
        self.erased: dict[int, Any] = {}  # entry of an erasure -> what its list says
        self.epochs: dict[int, str] = {}  # entry of a declaration -> what it commits to
        self.cosignatures: list[dict[str, Any]] = []
        self.lost: list[dict[str, Any]] = []  # entries of an earlier history, and who declared that

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
        tree, paths = self._tree, [log.folder / "checkpoint", *(log.folder / "checkpoints").glob("*")]
        notes = [Note(path.read_bytes()) for path in paths]  # (1)
        self.log, sizes = notes[0].origin, [note.size for note in notes]
        if any(note.origin != self.log for note in notes):
            raise Fault("a head is of another log")
        if [path.name for path in paths[1:]] != [*map(str, sizes[1:])] or sizes[0] < max(sizes):
            raise Fault("a head stands under another's name")
        self.lost = [one for one in self._losses if one["log"] == self.log and one["first"] <= one["last"]]
        held = [n for n in self._held if n.origin == self.log and not self._declared(n)]
        heads = [(n, n in held) for n in sorted(notes + held, key=lambda n: n.size) if n.size]
        leaves = b""
        for raw in log.entries():
            index = tree.size
            leaves = leaves if index % 256 else log.hashes(0, index // 256)  # (2)
            leaf = sha256(LEAF, raw)
            if leaves[index % 256 * 32 : index % 256 * 32 + 32] != leaf:
                raise Fault("an entry does not hash to its leaf", index)
            completed = tree.push(leaf)  # (3)
            for height in range(8, len(completed), 8):
                number, offset = divmod((tree.size >> height) - 1, 256)
                if log.hashes(height // 8, number)[offset * 32 : offset * 32 + 32] != completed[height]:
                    raise Fault("an upper tile does not follow from its leaves", tree.size - (1 << height))
            try:
                self._note(raw)  # (4)
            except (ValueError, KeyError, TypeError, RecursionError):
                raise Fault("an entry has not its one form", index) from None
            while heads and heads[0][0].size == tree.size:  # (5)
                self._settle(*heads.pop(0))
        for level, number in log.tiles:  # (6)
            known = number * 256 + -(-len(log.hashes(level, number)) // 32)  # a torn hash is one too
            if level != ENTRIES and known > tree.size >> (8 * level):
                raise Fault("a tile knows of more entries than are there", tree.size)
        if heads:
            raise Fault("a head knows of more entries than are there", tree.size)
        if self.signed_up_to < tree.size or not tree.size:
            raise Fault("no signed head covers the last entries", self.signed_up_to)

    def _declared(self, note: Note) -> bool:
        """Whether a held head of an earlier epoch is of what the first later declaration that cut it off names."""
        signers = [key.hex() for key in note.signed_by(self._keys)]
        epoch = max((one["epoch"] for one in self._losses if one["key"] in signers), default=1)
        later = [one for one in self._losses if one["log"] == self.log and one["epoch"] > epoch]
        cut = [one["last"] for one in later if one["first"] < note.size]
        return bool(signers and cut) and note.size <= cut[0] + 1

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
            if entry["event"] == "read" and entry["subject"]:
                self.reads.setdefault(entry["actor"], []).append(entry["subject"])
            found = {"erasure": self.erased, "epoch": self.epochs}.get(entry["event"], {})
            found[self._tree.size - 1] = entry["detail"]

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
        return "\n  ".join([
            self.log or "a log without a name",
            f"entries    {self.entries}, {self.signed_up_to} of them under a signed head",
            f"verdict    {f'NOT PROVEN: {self.fault}{wrong}' if self.fault else 'complete and untampered'}",
            f"witnessed  {'whole' if whole else f'UNWITNESSED since index {self.witnessed_up_to}'}",
            *(f"  {one}" for one in self.cosignatures),
            *(f"  erased by entry {index}: {what}" for index, what in self.erased.items()),
            *(f"  LOST of an earlier history, declared: {said}" for said in self.lost),
            *(f"  {actor}: {acts}" for actor, acts in sorted(self.acts.items())),
            *(f"  {actor} read {len(set(ids))} named things" for actor, ids in sorted(self.reads.items())),
        ])  # fmt: skip


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
        losses = sorted(losses_in(options.folder / "epochs.json"), key=lambda one: int(one["epoch"]))
    except (ValueError, IndexError, KeyError, TypeError, OSError):
        parser.error("a key, a held head or a declaration cannot be read")
    folders = sorted(path.parent for path in options.folder.rglob("checkpoint") if path.is_file())
    checks = [Check(keys, witnesses, held, losses).run(Log(folder)) for folder in folders]
    known = {said for check in checks if not check.fault for said in check.epochs.items()}
    if any((one["entry"], one["commitment"]) not in known for one in losses):
        for check in (check for check in checks if check.lost):
            check.fault = check.fault or "a loss is declared, and no proven entry commits to that"
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
