"""The signer as a process: whatever comes through its socket, it answers or hangs up, and its keys stay inside."""

from __future__ import annotations

import contextlib
import os
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway import errors
from gateway.cli import staging
from gateway.errors import GatewayError, SignerUnavailable
from gateway.flow.change import ACTS, canonical, digest
from gateway.model.agreement import SignedAgreement
from gateway.model.party import KeyRecord, Partner
from gateway.model.signing import Change, DataKey, Pseudonym, SealBatch, SealBatchResult, TrustChange
from gateway.model.time import rfc3339
from gateway.service.home import Home
from gateway.service.signer.client import SignerClient
from gateway.service.signer.process import MAX_DATA_KEYS, answer, operations
from gateway.service.signer.protocol import (
    MAX_FRAME,
    Answer,
    Call,
    Fault,
    encode,
    frame,
    from_fault,
    to_fault,
)
from gateway.wire.endorse import sign_change
from gateway.wire.seal import verify_seal
from gateway.wire.strict import b64url, b64url_decode
from tests.policy.worlds import OURS, POLICE
from tests.signer.world import ORIGIN, authority, disk, protocol, with_request

pytestmark = pytest.mark.integration
START_S = 20  # seconds; a loaded machine starts an interpreter slowly
MARK = b"Zzemo Exemple"  # stands for content: it must come back in no answer


@dataclass
class Signer:
    """The child, and everything it ever said."""

    home: Home
    process: subprocess.Popen[bytes]
    heard: list[bytes] = field(default_factory=list)

    def connect(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(START_S)
        connection.connect(str(self.home.signer_socket))
        return connection

    def raw(self, sent: bytes, *, end: bool = False) -> bytes | None:
        """Send these bytes over a connection of their own; the answer's body, or None when the signer hangs up."""
        with self.connect() as connection:
            connection.sendall(sent)
            if end:
                connection.shutdown(socket.SHUT_WR)
            size = _exactly(connection, 4)
            body = _exactly(connection, int.from_bytes(size, "big")) if size else None
        if body is not None:
            self.heard.append(body)
        return body

    def call(self, op: str, argument: Any = None) -> Answer:
        body = self.raw(frame(msgspec.msgpack.encode(Call(op, encode(argument)))))
        assert body is not None, "the signer hung up"
        return msgspec.msgpack.decode(body, type=Answer)

    def result(self, op: str, argument: Any = None, wanted: Any = None) -> Any:
        answered = self.call(op, argument)
        assert answered.fault is None, answered.fault
        return msgspec.msgpack.decode(answered.body, type=wanted)

    def alive(self) -> bool:
        return self.process.poll() is None and bool(self.result("keys", None, tuple[KeyRecord, ...]))


def _exactly(connection: socket.socket, size: int) -> bytes:
    found = b""
    with contextlib.suppress(ConnectionError):
        while len(found) < size and (more := connection.recv(size - len(found))):
            found += more
    return found if len(found) == size else b""


def start(home: Home) -> Signer:
    """Start the child as the gateway does, and wait for its word."""
    command = [sys.executable, "-m", "gateway.cli", "signer", "--home", str(home.path)]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=Path.cwd()
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    return Signer(home, process)


def finish(signer: Signer) -> tuple[int, bytes, bytes]:
    """Close the parent's end of the pipe; the exit code and what the child wrote."""
    out, err = signer.process.communicate(timeout=START_S)
    return signer.process.returncode, out, err


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> staging.Stage:
    """Two founded homes with throw-away keys; the Belgian one is used here."""
    now = datetime.now(UTC).replace(microsecond=0)
    return staging.build(tmp_path_factory.mktemp("signer") / "stage", now=now)


@pytest.fixture(scope="module")
def signer(stage: staging.Stage) -> Iterator[Signer]:
    child = start(stage.be)
    yield child
    finish(child)


def _change(stage: staging.Stage, kind: str, target: str, document: Partner | SignedAgreement) -> TrustChange:
    raw, now = canonical(document), datetime.now(UTC).replace(microsecond=0)
    people = [stage.officers["be-requester"], stage.officers["be-approver"]]
    change = Change(
        v=1,
        id=f"{kind}-{target}",
        home=OURS,
        kind=msgspec.convert(kind, Any),
        target=target,
        widening=True,
        before_sha256="",
        after_sha256=digest(raw),
        not_before=rfc3339(now - timedelta(minutes=1)),
        proposer=people[0].officer,
    )
    statement = canonical(change)
    tokens = tuple(
        sign_change(one.key, one.kid, officer=one.officer, act=act, at=now, statement=statement)
        for act, one in zip(ACTS, people, strict=True)
    )
    return TrustChange(statement, raw, tokens)


def void(stage: staging.Stage) -> SealBatch:
    """A void to the partner of the stage, sealed as of now."""
    at = datetime.now(UTC)
    now = int(at.timestamp())
    terms = stage.agreements[POLICE].terms
    key = next(key for key in stage.entries[POLICE].keys if key.use == "encryption")
    agreed = digest(b64url_decode(terms))
    return with_request(
        protocol(at=at), iat=now, exp=now + 60, enc_kid=key.kid, agreement=agreed, sig_profile="hybrid"
    )


def test_the_socket_is_private(signer: Signer) -> None:
    """Mode 0600: nobody but the gateway's own account may even connect."""
    mode = os.stat(signer.home.signer_socket).st_mode
    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o600


def test_no_core_dump(signer: Signer) -> None:
    """A core dump would hold every key, so the process allows itself none."""
    limits = Path(f"/proc/{signer.process.pid}/limits").read_text()
    (line,) = (line for line in limits.splitlines() if line.startswith("Max core file size"))
    assert line.split()[4:6] == ["0", "0"]


def test_it_works_over_the_socket(signer: Signer, stage: staging.Stage) -> None:
    """Partner and agreement by two-person changes, then a void: its seal verifies with the home's public keys."""
    signer.result("change", _change(stage, "partner", POLICE, stage.entries[POLICE]))
    series = f"{OURS}-{POLICE}"
    signer.result("change", _change(stage, "agreement", series, stage.agreements[POLICE]))
    made = void(stage)
    (result,) = signer.result("seal", made, SealBatchResult).results
    assert (result.code, result.detail) == ("", "")
    keys = signer.result("keys", None, tuple[KeyRecord, ...])
    evidence = verify_seal(
        result.jws, result.second, made.items[0].payload, keys, profile="hybrid", now=datetime.now(UTC)
    )
    assert evidence.header.message_type == "void"
    assert signer.result("heads", None, dict[str, int]) == {ORIGIN: 5}


# --- hostile input ---------------------------------------------------------------------------------------------------


def call(op: Any, argument: Any) -> bytes:
    return frame(msgspec.msgpack.encode([op, argument]))


FAULTS: dict[str, tuple[str, bytes]] = {
    "empty frame": ("request-invalid", frame(b"")),
    "garbage": ("request-invalid", frame(b"\xc1" + MARK)),
    "no call": ("request-invalid", frame(msgspec.msgpack.encode({"op": "keys"}))),
    "no UTF-8": ("request-invalid", frame(b"\x92\xa4\xff\xff\xff\xff\xc0")),
    "nested without end": ("request-invalid", frame(b"\x92\xa4keys" + b"\x91" * 100_000)),
    "argument nested without end": ("request-invalid", frame(b"\x92\xa4seal" + b"\x91" * 100_000 + b"\xc0")),
    "operation of another type": ("request-invalid", call(7, None)),
    "unknown operation": ("request-invalid", call("sign", MARK)),
    "no operation": ("request-invalid", call("", None)),
    "operation of Python": ("request-invalid", call("__class__", None)),
    "no argument": ("request-invalid", frame(b"\x91\xa4keys")),
    "argument of another type": ("request-invalid", call("seal", MARK)),
    "argument with an unknown member": ("request-invalid", call("checkpoint", {"zzemo": MARK})),
    "no number of keys": ("request-invalid", call("data_keys", "many")),
    "negative number of keys": ("request-invalid", call("data_keys", -1)),
    "too many keys": ("request-invalid", call("data_keys", MAX_DATA_KEYS + 1)),
    "number beyond 64 bits": ("request-invalid", frame(b"\x92\xa9data_keys\xcf" + b"\xff" * 8)),
    "a bare digest as receipt": ("malformed", call("receipts", [bytes(32)])),
    "content as receipt": ("malformed", call("receipts", [b'{"name":"' + MARK + b'"}'])),
    "a key of another home": ("local-fault", call("unwrap", [bytes(40)])),
    "a key of odd length": ("local-fault", call("unwrap", [MARK])),
    "ciphertext of another suite": ("local-fault", call("open", ["none", MARK, MARK])),
    "ciphertext of ours that is none": (
        "malformed",
        call("open", ["hpke-mlkem768-x25519-a256gcm", MARK, MARK]),
    ),
    "a change of nothing": (
        "request-invalid",
        call("change", {"statement": b"{}", "document": MARK, "endorsements": []}),
    ),
    "a head of another log": (
        "request-invalid",
        call("checkpoint", {"origin": "x", "size": 1, "root": bytes(32), "old_size": 0, "consistency": []}),
    ),
}


@pytest.mark.parametrize("name", FAULTS)
def test_hostile_frame(signer: Signer, name: str) -> None:
    """A fault with its code and without a byte of input; the process lives and the next call works."""
    code, sent = FAULTS[name]
    body = signer.raw(sent)
    assert body is not None
    fault = msgspec.msgpack.decode(body, type=Answer).fault
    assert fault is not None
    assert fault.code == code
    assert MARK not in body
    assert signer.alive()


HANG_UPS: dict[str, bytes] = {
    "oversized": (MAX_FRAME + 1).to_bytes(4, "big") + MARK,
    "largest size": b"\xff\xff\xff\xff",
    "half a length": b"\x00\x00",
    "half a frame": frame(msgspec.msgpack.encode(["keys", None]))[:-1],
    "nothing": b"",
}


@pytest.mark.parametrize("name", HANG_UPS)
def test_broken_stream(signer: Signer, name: str) -> None:
    """A stream that is no sequence of frames is closed without an answer; others go on."""
    with signer.connect() as other:
        assert signer.raw(HANG_UPS[name], end=True) is None
        other.sendall(frame(msgspec.msgpack.encode(["keys", None])))
        assert _exactly(other, 4)
    assert signer.alive()


def test_one_connection_survives_its_own_faults(signer: Signer) -> None:
    """After a fault the same connection carries the next request."""
    with signer.connect() as connection:
        connection.sendall(FAULTS["garbage"][1] + frame(msgspec.msgpack.encode(["heads", None])))
        answers = []
        for _ in range(2):
            body = _exactly(connection, int.from_bytes(_exactly(connection, 4), "big"))
            answers.append(msgspec.msgpack.decode(body, type=Answer))
    assert [answered.fault is None for answered in answers] == [False, True]


@given(st.binary(max_size=200), st.sampled_from([b"", b"\x92\xa4seal", b"\x92\xa6change", b"\x92\xa4open"]))
@settings(max_examples=80, deadline=None)
def test_any_bytes_get_an_answer(raw: bytes, start_of: bytes) -> None:
    """Arbitrary bytes as a request get a well-formed answer, in the very function that the process runs."""
    answered = msgspec.msgpack.decode(answer(TABLE, start_of + raw), type=Answer)
    if answered.fault is not None:
        assert issubclass(getattr(errors, answered.fault.kind), GatewayError)


TABLE = operations(authority(disk()))


def test_the_operations_are_a_closed_list() -> None:
    """There is no operation that signs bytes of the caller's choice; a new one needs its line here."""
    assert set(TABLE) == {
        *(
            "keys",
            "heads",
            "data_keys",
            "unwrap",
            "wrapping",
            "rewrap",
            "left",
            "index",
            "terms",
            "pseudonyms",
            "open",
        ),
        *("checkpoint", "cosign", "seal", "receipts", "change", "unsettled", "settle"),
    }


# --- keys ------------------------------------------------------------------------------------------------------------


def secrets_of(home: Home) -> list[bytes]:
    """Every private key of the signer, raw."""
    found = []
    for file in (home.signer / "keys").iterdir():
        raw = file.read_bytes()
        if file.suffix != ".pem":
            found.append(raw)
            continue
        key = load_pem_private_key(raw, None)
        assert isinstance(key, EllipticCurvePrivateKey | Ed25519PrivateKey)
        private = (
            key.private_bytes_raw()
            if isinstance(key, Ed25519PrivateKey)
            else key.private_numbers().private_value.to_bytes(32, "big")
        )
        found.append(private)
    return found


def test_no_key_ever_leaves(signer: Signer) -> None:
    """Over everything this process answered in these tests, no private key stands in an answer, in any spelling."""
    data: list[DataKey] = signer.result("data_keys", 3, list[DataKey])
    assert signer.result("unwrap", [key.wrapped for key in data], list[bytes]) == [key.key for key in data]
    assert len({key.key for key in data}) == 3
    signer.result("index", [MARK, b""], list[str])
    signer.result("terms", ["check", ""], list[bytes])
    signer.result("pseudonyms", [Pseudonym(POLICE, "s", "k", "BDC-000001")], list[str])
    secrets = secrets_of(signer.home)
    assert len(secrets) == 12
    for secret in secrets:
        spellings = (secret, secret.hex().encode(), b64url(secret).encode())
        assert not any(spelling in body for spelling in spellings for body in signer.heard)


def test_pseudonyms_and_indices_are_keyed(signer: Signer) -> None:
    """Equal inputs meet, other scopes do not, and another home gives other values."""
    base = Pseudonym(POLICE, "series", "kind", "BDC-000001")
    others = [msgspec.structs.replace(base, **{name: "other"}) for name in base.__struct_fields__]
    first = signer.result("pseudonyms", [base, base, *others], list[str])
    assert first[0] == first[1]
    assert len(set(first)) == 5
    assert operations(authority(disk()))["pseudonyms"][1]([base]) != [first[0]]


# --- the end ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("busy", [False, True], ids=["idle", "with an open connection and half a frame"])
def test_it_ends_with_its_parent(stage: staging.Stage, busy: bool) -> None:
    """When the parent's pipe closes the process ends by itself, cleanly, whoever is still connected."""
    child = start(stage.fr)
    with contextlib.ExitStack() as held:
        if busy:
            held.enter_context(child.connect()).sendall(b"\x00\x00\x00\xff")
            assert child.alive()
        code, out, err = finish(child)
    assert (code, out) == (0, b"")
    assert err == b""


def test_it_ends_when_its_trust_cannot_be_kept(stage: staging.Stage) -> None:
    """A disk that does not keep the head: nothing is signed, and the process ends rather than go on without it."""
    child = start(stage.fr)
    in_the_way = stage.fr.signer / "heads.json"
    in_the_way.unlink()
    in_the_way.mkdir()  # nothing can be moved over a directory
    fr_master = {
        "origin": f"ecluse/{POLICE}/master",
        "size": 1,
        "root": bytes(32),
        "old_size": 0,
        "consistency": [],
        "first": [bytes(32)],  # the root of one leaf is its hash
    }
    assert child.raw(call("checkpoint", fr_master)) is None
    assert child.process.wait(START_S) == 0
    finish(child)
    in_the_way.rmdir()


async def test_a_client_without_a_signer(tmp_path: Path) -> None:
    """The gateway's side reports that the signer is away, as something that may be tried again."""
    with pytest.raises(SignerUnavailable) as caught:
        await SignerClient(tmp_path / "signer.sock").keys()
    assert caught.value.retry_after is None


# --- faults across the socket ----------------------------------------------------------------------------------------

KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, GatewayError)]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_fault_is_the_same_on_the_other_side(kind: type[GatewayError]) -> None:
    """Class, code and detail survive the socket, and so does what retrying code looks at."""
    raised = kind("a detail", expected=3) if kind is errors.OutOfOrder else kind("a detail")
    sent = msgspec.msgpack.decode(msgspec.msgpack.encode(to_fault(raised)), type=Fault)
    found = from_fault(sent)
    assert (type(found), found.code, found.detail) == (kind, raised.code, "a detail")
    assert dict(found.diagnostic) == dict(raised.diagnostic)
    if isinstance(found, errors.Unavailable):
        assert found.retry_after is None


def test_an_unknown_fault_is_a_plain_error() -> None:
    """A class this side does not know is no reason to execute anything: it is an error with that code."""
    found = from_fault(Fault("SystemExit", "strange", "a detail"))
    assert (type(found), found.code) == (GatewayError, "strange")
