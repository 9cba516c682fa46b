"""A sample of the siege, and the kill switch: a real gateway process over real TLS."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.siege.__main__ import Report, bodies, slow_ones
from tests.siege.bodies import Attack, attacks
from tests.siege.scan import available, scan
from tests.siege.target import HOSTILE, Honest, Target, besieged

pytestmark = [pytest.mark.integration, pytest.mark.slow]

#: Of every kind one, none of which waits for a limit in seconds.
SAMPLE = (
    "17 MiB sent",
    "200,000 chunks of one byte",
    "a gzip bomb",
    "asks to continue",
    "20,000 headers",
    "1,000 questions at once",
    "3 million items of one byte",
    "from somebody else",
    "64 ciphertexts of garbage",
    "4 MiB of padding",
    "brackets that close",
    "a string that never ends",
    "300,000 members",
    "99,000 labels",
    "the signature of an unknown key",
)

#: Seconds in which a stopped partner's connections must have ended (S11 allows a minute).
STOPPED_S = 10.0


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """One gateway for the module; the kill switch comes last."""
    with besieged(tmp_path_factory.mktemp("siege") / "stage") as target:
        yield target


def chosen() -> list[Attack]:
    return [attack for attack in attacks() if attack.name in SAMPLE]


def test_the_list_is_whole() -> None:
    """More than sixty attacks, no name twice, and the sample is among them."""
    names = [attack.name for attack in attacks()]
    assert len(names) == len(set(names)) > 60
    assert set(SAMPLE) <= set(names)


def test_hostile_bodies(target: Target) -> None:
    """Each has its answer within its bounds, the honest partner is served beside it, and no stack trace is logged."""
    report = Report()
    asyncio.run(bodies(target, chosen(), report))
    assert report.findings == []
    assert "Traceback" not in target.log
    assert "partner.defect" not in target.log


def test_slow_connections(target: Target) -> None:
    """250 slow connections from one source, more than there are places: the honest partner is served."""
    report = Report()
    asyncio.run(slow_ones(target, 250, report, questions=40, settle_s=1.0))
    assert report.findings == []
    assert "Traceback" not in target.log


def test_a_scan_from_outside(target: Target) -> None:
    """TLS 1.3 alone, two suites, three groups and at most the hybrid one beside them, no session ticket."""
    if not available():
        pytest.skip("no openssl to scan with")
    found = scan(target.reach.port)
    assert found["versions"] == ["TLSv1.3"]
    assert found["suites"] == ["TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"]
    assert [name for name in found["groups"] if name != "X25519MLKEM768"] == ["X25519", "P-256", "P-384"]
    assert found["resumption"] == []


def test_the_kill_switch(target: Target) -> None:
    """`partner stop` by one officer: the stopped partner's open connection ends and no new one is let in, within
    seconds; the other partner's connection is the same one as before."""
    assert asyncio.run(_kill(target))


async def _kill(target: Target) -> bool:
    """Whether the honest partner was served to the end over the connection it had."""
    reader, writer = await target.connect(HOSTILE)
    honest = Honest(target)
    await honest.ask()
    kept = honest.connection
    ended = asyncio.create_task(reader.read())
    stop = await asyncio.to_thread(_partner_stop, target)
    assert stop.returncode == 0, stop.stderr
    async with asyncio.timeout(STOPPED_S):
        with contextlib.suppress(ConnectionError):
            assert await ended == b""
        while await _is_let_in(target):  # noqa: ASYNC110 - asks another process
            await asyncio.sleep(0.1)
    await honest.ask()
    same = honest.connection is kept
    honest.leave()
    writer.transport.abort()
    return same


def _partner_stop(target: Target) -> subprocess.CompletedProcess[str]:
    """The command as an officer types it."""
    key = target.stage.folder / "officers" / "be-requester.pem"
    command = [sys.executable, "-m", "gateway.cli", "partner", "stop", HOSTILE]
    command += ["--home", str(target.stage.be.path), "--as", "be-requester", "--officer-key", str(key)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)


async def _is_let_in(target: Target) -> bool:
    """Whether a fresh connection of the hostile partner gets any answer."""
    try:
        answer = await target.send(b"GET / HTTP/1.1\r\nHost: gw\r\n\r\n")
    except OSError:
        return False
    return answer.status != 0
