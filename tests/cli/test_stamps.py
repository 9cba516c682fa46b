"""Time-stamps from end to end: a served gateway, `openssl ts` as the authority, and openssl on what is exported."""

from __future__ import annotations

import asyncio
import json
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gateway.cli import staging
from gateway.cli.demo import start_gateway, stop_gateway, wait_ready
from gateway.cli.staging import BE
from gateway.service.app import now
from tests.cli.conftest import Run
from tests.tls.authority import POLICY, VOUCHING, Authority, openssl_verify, root

pytestmark = pytest.mark.integration

#: Seconds until the first round must have brought a stamp.
STAMPED_S = 30.0

MASTER = f"ecluse/{BE}/master"


@contextmanager
def serving(authority: Authority) -> Iterator[str]:
    """The authority in a thread of its own, while the block runs."""
    urls: list[str] = []
    ready, ended = threading.Event(), threading.Event()

    async def serve() -> None:
        async with authority.serving() as url:
            urls.append(url)
            ready.set()
            await asyncio.to_thread(ended.wait)

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert ready.wait(10)
    try:
        yield urls[0]
    finally:
        ended.set()
        thread.join()


def test_stamps_of_a_gateway_verify_with_openssl(tmp_path: Path, ecluse: Run) -> None:
    """A gateway with an authority fetches stamps and keeps them; exported, `openssl ts -verify` accepts each, and
    `audit verify` says up to where and since when the log is anchored, for the home and the export. Another authority
    counts for nothing; a stamp or a head that was changed is found."""
    stage = staging.build(tmp_path / "demo", now=now())
    home = stage.be
    tsa = Authority(tmp_path / "tsa", between=VOUCHING)
    shutil.copy(tsa.ca, home.timestamp_authorities)
    with serving(tsa) as url:
        with home.config.open("a") as config:
            config.write(f'\n[timestamping]\nurl = "{url}"\npolicy = "{POLICY}"\nevery_s = 1\n')
        child = start_gateway(home)
        try:
            wait_ready(home, child)
            deadline = time.monotonic() + STAMPED_S
            while not (said := anchored(ecluse, home.path)) and time.monotonic() < deadline:
                time.sleep(0.2)
        finally:
            stop_gateway(child)
    assert said["by"] == "fictitious time-stamp authority"
    out, notes = tmp_path / "export", tmp_path / "notes"
    exported = ecluse("audit", "export", "--home", home.path, "--out", out, "--json").document
    assert exported["time_stamps"]
    for folder in map(Path, exported["time_stamps"]):
        paths = (folder / "document.json", folder / "response.tsr", tsa.ca, folder / "chain.pem")
        assert openssl_verify(*paths) == "OK"
    (shown,) = ecluse("audit", "checkpoint", "--home", home.path, "--out", notes, "--json").document[
        "time_stamps"
    ]
    assert (
        openssl_verify(
            Path(shown, "document.json"), Path(shown, "response.tsr"), tsa.ca, Path(shown, "chain.pem")
        )
        == "OK"
    )
    key = exported["keys"][0]
    verify = ("audit", "verify", "--export", out, "--key", key)
    whole = ecluse(*verify, "--tsa", tsa.ca)
    assert (whole.code, "anchored up to index" in whole.out) == (0, True), whole.out
    stranger = tmp_path / "stranger.pem"
    stranger.write_bytes(Authority(tmp_path / "other", above=root()).ca.read_bytes())
    other = ecluse(*verify, "--tsa", stranger, "--json").document
    assert (other["verified"], other["time_stamps"]["anchored"]) == (True, {})
    assert {one["standing"] for one in other["time_stamps"]["stamps"]} == {"unknown"}
    document = Path(exported["time_stamps"][0], "document.json")
    document.write_bytes(document.read_bytes().replace(b'"org"', b'"Org"'))
    changed = ecluse(*verify, "--tsa", tsa.ca, "--json")
    assert (changed.code, changed.document["faults"]) == (1, ["time-stamp"])


def anchored(ecluse: Run, home: Path) -> dict[str, object]:
    """Where the master log of this home is anchored, as `audit verify` says; empty: nowhere."""
    document = json.loads(ecluse("audit", "verify", "--home", home, "--json").out)
    found: dict[str, object] = document["time_stamps"]["anchored"].get(MASTER, {})
    return found
