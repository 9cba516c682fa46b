"""`ecluse bench`: what it says, and that it keeps its figures to itself when a guard does not hold. No timings here."""

from __future__ import annotations

import msgspec
import pytest

from gateway.cli.bench.guards import Kept, Listener, failures
from tests.cli.conftest import Run

MESSAGES = 20

#: What a run of these counts must show; each test below breaks one of them.
KEPT = Kept(approved=5, lost=0, duplicates=0, refused=0, receipts_verified=5, logs_verified=True)
LISTENER = Listener(with_certificate="TLSv1.3", without_certificate="refused", tls_1_2="refused")


@pytest.mark.slow
@pytest.mark.integration
def test_a_tiny_run_measures_and_proves(ecluse: Run) -> None:
    """One round of 20 messages: one JSON document with positive figures, and every guard shown to hold."""
    said = ecluse("bench", "--messages", MESSAGES, "--rounds", 1, "--json")
    assert said.code == 0, said.out
    assert said.out.count("\n") == 1
    document = said.document
    guards, sent = document["guards"], document["one_in_flight"]["messages"]
    assert guards["hold"] is True
    assert guards["failed"] == []
    assert guards["approved"] == guards["receipts_verified"] > MESSAGES + sent
    assert (guards["lost"], guards["duplicates"], guards["refused"]) == (0, 0, 0)
    assert guards["logs_verified"] is True
    assert guards["listener"] == msgspec.to_builtins(LISTENER)
    assert (document["rounds"], document["messages_per_round"]) == (1, MESSAGES)
    floor, flow = document["floor"], document["end_to_end"]
    assert min(document["fdatasync_per_s"], document["payload_bytes"], document["cores"]) > 0
    assert all(figure > 0 for figure in floor["parts_us"].values())
    assert floor["us_per_message"] == pytest.approx(sum(floor["parts_us"].values()), abs=1)
    assert 0 < floor["bare_us_per_message"] < floor["us_per_message"]
    assert set(flow["cpu_us_by_process"]) == {"be-gateway", "be-signer", "fr-gateway", "fr-signer"}
    assert min(flow["per_s"], flow["cpu_us_per_message"]) > 0
    assert 0 < document["one_in_flight"]["p50_ms"] <= document["one_in_flight"]["p99_ms"]
    assert all(ratio > 0 for ratio in document["ratios"].values())


@pytest.mark.integration
def test_a_search_among_few_finds_everybody(ecluse: Run) -> None:
    """20,000 entries: everybody asked for is found, warm and cold, and the figures are of the whole search and of it
    the look-up."""
    said = ecluse("bench", "--find", 20_000, "--json")
    assert said.code == 0, said.out
    document = said.document
    assert document["entries"] == 20_000
    assert document["found"] == document["asked"] > 100
    for name in ("warm", "warm_look_up", "cold", "cold_look_up"):
        assert 0 < document[name]["p50_ms"] <= document[name]["p95_ms"] <= document[name]["most_ms"]


@pytest.mark.parametrize(
    "options", [("--against", "nobody"), ("--messages", 0), ("--rounds", 21), ("--find", 999)]
)
def test_what_cannot_be_measured_is_refused(ecluse: Run, options: tuple[object, ...]) -> None:
    """An unknown peer, or a run without bounds, is wrong usage: exit code 2, nothing is started."""
    said = ecluse("bench", "--json", *options)
    assert said.code == 2
    assert said.document["error"]["code"] == "request-invalid"


def test_all_guards_hold() -> None:
    """Nothing fails when everything is as demanded; where no tracer runs, durable writes are not counted."""
    assert failures(KEPT, LISTENER, 12, 2) == []
    assert failures(KEPT, LISTENER, None, 2) == []


@pytest.mark.parametrize(
    "facts",
    [
        msgspec.structs.replace(KEPT, lost=1),
        msgspec.structs.replace(KEPT, duplicates=1),
        msgspec.structs.replace(KEPT, refused=1),
        msgspec.structs.replace(KEPT, receipts_verified=4),
        msgspec.structs.replace(KEPT, logs_verified=False),
    ],
)
def test_a_store_that_does_not_add_up_fails_the_run(facts: Kept) -> None:
    """One message lost, doubled, refused or without a verified receipt, or a log that does not verify, is a failure."""
    assert len(failures(facts, LISTENER, 12, 2)) == 1


@pytest.mark.parametrize(
    "answers",
    [
        msgspec.structs.replace(LISTENER, with_certificate="refused"),
        msgspec.structs.replace(LISTENER, with_certificate="TLSv1.2"),
        msgspec.structs.replace(LISTENER, without_certificate="TLSv1.3"),
        msgspec.structs.replace(LISTENER, tls_1_2="TLSv1.2"),
    ],
)
def test_a_listener_that_asks_less_fails_the_run(answers: Listener) -> None:
    """A connection without client certificate or below TLS 1.3 that is answered is a failure."""
    assert len(failures(KEPT, answers, 12, 2)) == 1


def test_a_store_that_does_not_sync_fails_the_run() -> None:
    """Fewer durable writes than commits, where they are counted, is a failure."""
    assert failures(KEPT, LISTENER, 11, 2) == ["fewer durable writes than commits"]
