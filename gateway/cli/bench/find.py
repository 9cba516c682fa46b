"""`ecluse bench --find N`: how long a reviewer waits among N entries of the blind index.

A home of its own in a temporary folder, its database filled with synthetic persons under the home's own key, then a
real gateway with its signer process over it. What is timed is the whole operation: the signer's terms, the look-up,
and the commit of the search's entry. Figures are printed as such only when everybody asked for was found.

Warm is as the run leaves the page cache; cold is after the kernel was asked to drop the database's pages before each
question. What lies below the kernel, a virtual disk's own cache among it, is not dropped.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import math
import os
import random
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from gateway.cli import staging
from gateway.cli.bench.floor import disk_per_s
from gateway.cli.shared import DONE, NEGATIVE, Answer, table
from gateway.cli.staging import Stage
from gateway.errors import RequestInvalid
from gateway.flow.finding import Question, people_of, posted, sought
from gateway.model.find_rows import TERM_BYTES, sighting_id
from gateway.service.app import Application, now, running
from gateway.service.calls.finding import FindPersons
from gateway.service.finding import Finding, Looked, look_up
from gateway.service.imports import handle_of
from gateway.service.sightings import terms_of

#: Entries of one run, and questions asked of each temperature.
MOST_ENTRIES, QUESTIONS = 50_000_000, 150
#: What is timed: the whole search, and of it the signer's terms with the look-up, at either temperature.
MEASURED = ("warm", "warm_look_up", "cold", "cold_look_up")
#: Persons written at once while the index is built.
BATCH = 5000
#: Persons asked for are spread over the index.
SEED = 20261201

#: Given names with the spellings that one bears, invented families are made of syllables.
GIVEN = (
    "Mohamed Mohammed Muhammad", "Youssef Yusuf Yousef", "Ahmed Ahmad", "Fatima Fatma Fatimah", "Khadija Hadija",
    "Ibrahim Ebrahim", "Said Saïd Saeed", "Karim Kareem", "Yasmina Jasmina", "Abdullah Abdulla", "Omar Umar",
    "Aleksandr Alexander", "Dmitri Dmitry Dimitri", "Sergei Sergey", "Katarzyna Katarzina", "Łukasz Lukasz",
    "Şahin Sahin", "Giorgos Yorgos", "Jan Yan", "Sophie Sofie", "Nicolas Nikolas", "Philippe Filip", "Amina Amineh",
)  # fmt: skip
_SYLLABLES = (
    "ba", "ber", "bou", "da", "del", "dou", "fa", "gha", "had", "kar", "kha", "lam", "le", "ma", "mer", "nas",
    "nou", "ra", "rach", "sa", "sel", "ta", "tah", "van", "wal", "ya", "zem", "zou", "ker", "gol",
)  # fmt: skip


class Asked(msgspec.Struct, frozen=True):
    """A question whose answer is known: the handle of whoever must be among the candidates."""

    question: Question
    person: str


def find_bench(entries: int) -> Answer:
    """Build and measure; exit code 1 when somebody asked for is not found. Raises `RequestInvalid` for a size unknown
    here."""
    if not 1000 <= entries <= MOST_ENTRIES:
        raise RequestInvalid(f"an index has 1000 to {MOST_ENTRIES} entries", diagnostic={"field": "find"})
    with tempfile.TemporaryDirectory(prefix="ecluse-bench-") as temporary:
        stage = staging.build(Path(temporary) / "stage", now=now())
        began = time.perf_counter()
        persons, asked = _fill(stage, entries)
        built = time.perf_counter() - began
        size = stage.be.database.stat().st_size
        disk = round(disk_per_s(Path(temporary)))
        document = asyncio.run(_measured(stage, asked))
    document = {
        "entries": entries,
        "persons": persons,
        "build_s": round(built),
        "bytes": size,
        "fdatasync_per_s": disk,
        **document,
    }
    failed = document["found"] < document["asked"]
    rows = [
        (name, figures["p50_ms"], figures["p95_ms"], figures["most_ms"])
        for name in MEASURED
        for figures in (document[name],)
    ]
    title = f"{entries} entries of {persons} persons, {size >> 20} MiB, built in {round(built)} s"
    text = [
        table(("milliseconds", "p50", "p95", "most"), rows, title=title),
        f"{document['found']} of {document['asked']} found; {document['too_wide']} questions met keys too many share",
    ]
    return Answer(document, text, NEGATIVE if failed else DONE)


# --- the index -------------------------------------------------------------------------------------------------------


def _persons(rng: random.Random) -> Iterator[tuple[str, dict[str, Any]]]:
    """Persons without end: an id and the members that are indexed. Some names are common, most are rare."""
    given = [spellings.split() for spellings in GIVEN]
    number = 0
    while True:
        number += 1
        family = "".join(rng.choice(_SYLLABLES) for _ in range(rng.choice((2, 3, 3, 4)))).capitalize()
        first = rng.choice(given[int(len(given) * rng.random() ** 2)])
        second = f" {rng.choice(rng.choice(given))}" if rng.random() < 0.2 else ""
        particle = rng.choice(("", "", "", "Ben ", "van ", "el "))
        day = f"{rng.randint(1940, 2010)}-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}"
        yield (
            f"BENCH-{number}",
            {
                "names": [{"text": f"{first}{second} {particle}{family}", "quality": "high"}],
                "birth": [{"date": day, "precision": "day"}],
                "documents": [{"number": f"ZZ{number:09}"}],
            },
        )


def _fill(stage: Stage, entries: int) -> tuple[int, list[Asked]]:
    """Write persons until the index has this many entries; they go through a table of no order, so that each page of
    the index is written once."""
    key = (stage.be.signer / "keys" / "find.bin").read_bytes()
    rng, draw = random.Random(SEED), random.Random(SEED + 1)  # noqa: S311 - synthetic names
    asked: list[Asked] = []
    share = QUESTIONS * 30 / entries
    connection = sqlite3.connect(stage.be.database, isolation_level=None)
    try:
        connection.execute("PRAGMA synchronous=off")
        connection.execute("PRAGMA cache_size=-400000")  # KiB
        connection.execute("CREATE TEMP TABLE unordered (term BLOB, sighting INTEGER)")
        connection.execute("BEGIN")
        people = _persons(rng)
        count = written = 0
        while written < entries:
            rows, terms = [], []
            for entity, content in (next(people) for _ in range(BATCH)):
                (person,) = people_of(content)
                found = sorted(one for one in person.keys if posted(one))[: entries - written]
                told = sorted(one for one in person.keys if not posted(one))
                raw = [_term(key, one) for one in (*found, *told)]
                subject = hashlib.sha256(entity.encode()).hexdigest()
                number = sighting_id(entity, 0)
                rows.append((number, "record", f"{handle_of(subject)}/1", entity, subject, 0, 0, 1, len(found),
                             b"".join(raw)))  # fmt: skip
                terms += [(term, number) for term in raw[: len(found)]]
                written, count = written + len(found), count + 1
                if len(asked) < 2 * QUESTIONS and draw.random() < share and written < entries:
                    asked.append(Asked(_question(content, len(asked), draw), handle_of(subject)))
                if written >= entries:
                    break
            connection.executemany("INSERT INTO sightings VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
            connection.executemany("INSERT INTO unordered VALUES (?, ?)", terms)
        connection.execute(
            "INSERT INTO sighting_terms SELECT term, sighting FROM unordered ORDER BY term, sighting"
        )
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        connection.close()
    return count, asked


def _term(key: bytes, one: str) -> bytes:
    """As the signer makes it."""
    return hmac.digest(key, one.encode(), "sha256")[:TERM_BYTES]


def _question(content: dict[str, Any], number: int, draw: random.Random) -> Question:
    """Somebody asked for in one of six ways: turned, spelled otherwise, by initial, by number, twice, in capitals."""
    name, born = content["names"][0]["text"], content["birth"][0]["date"]
    given, _, rest = name.partition(" ")
    others = next(one.split() for one in GIVEN if given in one.split())
    way = number % 6
    if way == 0:
        return Question((" ".join(reversed(name.split())),), born[:4])
    if way == 1:
        return Question((f"{draw.choice(others)} {rest.replace('kar', 'qar').replace('ou', 'u')}",), born)
    if way == 2:
        return Question((f"{given[0]}. {rest}",), born)
    if way == 3:
        return Question(numbers=(content["documents"][0]["number"],))
    if way == 4:
        return Question((name, f"{others[0]} {rest}"), str(int(born[:4]) + 1), about=True)
    return Question((name.upper(),))


# --- the questions ---------------------------------------------------------------------------------------------------


async def _measured(stage: Stage, asked: Sequence[Asked]) -> dict[str, Any]:
    async with running(stage.be, listen=False) as application:
        found = wide = 0
        for one in asked:
            looked = await _look(application, one.question)
            found += any(group.person == one.person for group in looked.groups)
            wide += bool(looked.wide)
        took: dict[str, list[float]] = {name: [] for name in MEASURED}
        for number, one in enumerate(asked):
            kind = "cold" if number % 2 else "warm"
            for name, call in ((kind, _find), (f"{kind}_look_up", _look)):
                if kind == "cold":
                    _drop(stage.be.database)
                began = time.perf_counter()
                await call(application, one.question)
                took[name].append((time.perf_counter() - began) * 1000)
    return {
        "asked": len(asked),
        "found": found,
        "too_wide": wide,
        **{name: _figures(times) for name, times in took.items()},
    }


async def _look(application: Application, question: Question) -> Looked:
    """The signer's terms and the look-up alone: nothing is committed."""
    gateway, keys = application.gateway, sought(question)
    terms = await terms_of(gateway.signer, [one.key for one in keys])
    asked = dict(zip(terms, keys, strict=True))
    return await gateway.store.read(lambda tx: look_up(tx, asked, asked_birth=bool(question.birth)))


async def _find(application: Application, question: Question) -> None:
    """One search, as a reviewer waits for it."""
    gateway = application.gateway
    reviewer = gateway.directory.officer("be-reviewer")
    params = FindPersons(
        "synthetic", "bench", question.names, question.birth, question.about, question.numbers
    )
    await Finding(gateway).find(reviewer, params)


def _drop(path: Path) -> None:
    """Ask the kernel to forget the pages of the database."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(handle)


def _figures(took: Sequence[float]) -> dict[str, float]:
    ordered = sorted(took)
    return {
        "p50_ms": round(statistics.median(ordered), 2),
        "p95_ms": round(ordered[math.ceil(len(ordered) * 0.95) - 1], 2),
        "most_ms": round(ordered[-1], 2),
    }
