"""A reviewer's laptop: it cosigns what grew from what it saw, and keeps the evidence of what did not."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.audit.checkpoint import parse
from gateway.audit.export import ExportSource, write_export
from gateway.audit.verify import verify_log
from gateway.cli import main
from gateway.errors import ConfigInvalid, Conflict
from gateway.reviewer import verify as alone
from gateway.service.laptop import Cosigned, Refused, Witness, vouch
from tests.audit.logs import LOG_VKEY, NOON, ORIGIN, MemoryLog

NAME = "comite.invalid/laptop-1"


def shown(log: MemoryLog) -> ExportSource:
    return ExportSource(dict(write_export(log)))


@pytest.fixture
def laptop(tmp_path: Path) -> Iterator[Witness]:
    witness = Witness.new(tmp_path / "laptop.pem", NAME)
    yield witness
    witness.close()


def test_a_log_that_grows_is_cosigned_again_and_again(laptop: Witness) -> None:
    """Each head by both keys, under the log's own signature; both verifiers then say whole and witnessed."""
    for batches in ([3], [3, 5], [3, 5], [3, 5, 300]):
        log = MemoryLog.of(batches)
        said = vouch(laptop, shown(log), [LOG_VKEY], now=NOON)
        assert isinstance(said, Cosigned)
        assert [line.key_name for line in parse(said.note.encode()).signatures][1:] == [NAME, NAME]
        verdict = verify_log(shown(log), [LOG_VKEY], held=[said.note.encode()], witnesses=laptop.public)
        assert (verdict.witnessed_size, len(verdict.cosignatures)) == (sum(batches), 2)
        note = alone.Note(said.note.encode())
        found = list(note.cosigned_by([alone.Key(key.encode()) for key in laptop.public]))
        assert [one["checked"] for one in found] == [True, False]  # the second key needs a library


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        (MemoryLog.of([3, 5], tale="another", tale_from=4), "held-root"),
        (MemoryLog.of([3, 5, 9], tale="another", tale_from=7), "held-root"),
        (MemoryLog.of([3]), "held-tail-missing"),
    ],
)
def test_another_history_is_refused_with_its_evidence(laptop: Witness, other: MemoryLog, reason: str) -> None:
    """Rewritten, rewritten and grown, or cut: no cosignature, both signed heads in hand, and nothing forgotten."""
    log = MemoryLog.of([3, 5])
    assert isinstance(vouch(laptop, shown(log), [LOG_VKEY], now=NOON), Cosigned)
    before = laptop.book
    said = vouch(laptop, shown(other), [LOG_VKEY], now=NOON)
    assert isinstance(said, Refused)
    assert (said.reason, said.held.encode(), said.shown.encode()) == (reason, log.notes[-1], other.notes[-1])
    assert laptop.book == before
    assert isinstance(vouch(laptop, shown(MemoryLog.of([3, 5, 1])), [LOG_VKEY], now=NOON), Cosigned)


def test_a_log_that_does_not_hold_by_itself_is_refused(laptop: Witness) -> None:
    """A changed entry, an unknown log key, and entries beyond the newest head."""
    log = MemoryLog.of([3, 5])
    log.rows[4] = (4, log.rows[3][1])
    assert vouch(laptop, shown(log), [LOG_VKEY], now=NOON) == Refused(
        ORIGIN, "entry-changed", 4, "", log.notes[-1].decode()
    )
    log = MemoryLog.of([3])
    said = vouch(laptop, shown(log), [], now=NOON)
    assert isinstance(said, Refused)
    log.add([log.rows[0][1]], seal=False)
    assert isinstance(vouch(laptop, log, [LOG_VKEY], now=NOON), Refused)
    assert laptop.book.heads == {}


def test_its_files(tmp_path: Path, laptop: Witness) -> None:
    """Closed to others, never overwritten, held by one process, read back; without its book it is no witness."""
    path = tmp_path / "laptop.pem"
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(Conflict):
        Witness.new(path, NAME)
    with pytest.raises(Conflict):
        Witness(path)
    vouch(laptop, shown(MemoryLog.of([3])), [LOG_VKEY], now=NOON)
    book, public = laptop.book, laptop.public
    laptop.close()
    again = Witness(path)
    assert (again.book, again.public) == (book, public)
    again.close()
    (tmp_path / "laptop.pem.heads").unlink()
    with pytest.raises(ConfigInvalid):
        Witness(path)


def test_the_commands(tmp_path: Path, capfd: Any) -> None:
    """`witness-key`, then `witness` twice: the second time on another history, which leaves the evidence in files."""
    assert main(["audit", "witness-key", "--name", NAME, "--out", str(tmp_path / "laptop.pem")]) == 0
    for log, code in ((MemoryLog.of([3, 5]), 0), (MemoryLog.of([4, 5], tale="another", tale_from=2), 1)):
        folder = tmp_path / f"export-{code}"
        for name, data in write_export(log):
            path = folder / ORIGIN / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        words = ["audit", "witness", str(folder), "--out", str(tmp_path / "out"), "--key", LOG_VKEY.encode()]
        assert main([*words, "--witness-key", str(tmp_path / "laptop.pem"), "--json"]) == code
    out = tmp_path / "out" / ORIGIN
    assert {path.name for path in out.iterdir()} == {"8", "refused-9-held", "refused-9-shown"}
    assert (out / "refused-9-shown").read_bytes() == log.notes[-1]
    assert main([*words[:5], "--witness-key", str(tmp_path / "laptop.pem")]) == 2
