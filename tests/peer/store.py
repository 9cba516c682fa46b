"""What one end keeps, in SQLite: what it received and sent, its receipts, its log about the other end, heads it saw."""

from __future__ import annotations

import hashlib
import secrets
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.peer.checkpoint import Head, leaf_hash
from tests.peer.spelling import b64url, canonical, instant

_SCHEMA = """
create table if not exists inbox (
    id text primary key, sha256 text, conv text, seq integer, type text, payload blob, first text, second text,
    receipt text
);
create table if not exists receipts (id text primary key, jws text);
create table if not exists outbox (
    place integer primary key, id text, conv text, seq integer, type text, payload blob, header text,
    first text, second text, state text
);
create table if not exists log (entry blob, salt blob, master_salt blob);
create table if not exists heads (origin text, size integer, root blob, note text);
"""


class Store:
    """One file; every change is one commit, which is on disk before it returns."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._database = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._database.executescript("pragma journal_mode = wal; pragma synchronous = full;" + _SCHEMA)
        self._lock = threading.RLock()

    def close(self) -> None:
        self._database.close()

    @contextmanager
    def commit(self) -> Iterator[None]:
        """All changes inside are one commit, or none."""
        with self._lock:
            self._database.execute("begin immediate")
            try:
                yield
            except BaseException:
                self._database.execute("rollback")
                raise
            self._database.execute("commit")

    def rows(self, statement: str, *values: Any) -> list[tuple[Any, ...]]:
        with self._lock:
            return self._database.execute(statement, values).fetchall()

    def one(self, statement: str, *values: Any) -> Any:
        """First column of the first row, or None."""
        return next((row[0] for row in self.rows(statement, *values)), None)

    # --- the log of section 14 ---------------------------------------------------------------------------------------

    def leaves(self) -> list[bytes]:
        return [leaf_hash(entry) for (entry,) in self.rows("select entry from log order by rowid")]

    def append(
        self, *, at: float, conv: str, dir_: str, event: str, id_: str, seq: int, type_: str, content: bytes
    ) -> None:
        """One entry about what crossed; ``content`` is the payload or statement it commits to."""
        salt, master_salt = secrets.token_bytes(32), secrets.token_bytes(32)
        committed = b"ecluse/body/1\n" + salt + hashlib.sha256(content).digest()
        entry = {
            "at": instant(at),
            "blind": b64url(secrets.token_bytes(32)),
            "body": hashlib.sha256(committed).hexdigest(),
            "conv": conv,
            "dir": dir_,
            "event": event,
            "id": id_,
            "master": hashlib.sha256(b"ecluse/master/1\n" + master_salt).hexdigest(),
            "seq": seq,
            "type": type_,
            "v": 1,
        }
        self.rows("insert into log values (?, ?, ?)", canonical(entry), salt, master_salt)

    def keep(self, head: Head) -> None:
        """Keep a head of the other end; one that contradicts another is kept beside it."""
        known = self.rows("select root from heads where origin = ? and size = ?", head.origin, head.size)
        if (head.root,) not in known:
            self.rows("insert into heads values (?, ?, ?, ?)", head.origin, head.size, head.root, head.note)

    def two_histories(self) -> list[tuple[Any, ...]]:
        """Sizes for which the other end signed two roots: each is an alarm."""
        return self.rows("select origin, size from heads group by origin, size having count(*) > 1")
