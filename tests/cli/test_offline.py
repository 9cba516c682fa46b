"""Commands that need no gateway: founding a home, agreements, authorities, officers' keys, sealed messages, chunks."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import tomllib
from pathlib import Path

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.cli import staging
from gateway.cli.record import chunks
from gateway.cli.staging import BE, CONFIG, FR, Ports
from gateway.model.agreement import Suite
from gateway.model.officer import Officer, OfficerKey
from gateway.model.party import Assurance, KeyRecord, Partner
from gateway.wire import jwe
from gateway.wire.container import Preamble, encrypt, pack
from gateway.wire.hpke import SUITE
from gateway.wire.seal import second_header, sign_seal
from tests.cli.conftest import Run, Said, written
from tests.wire import parties

SECURITY = ("--role", "requester", "--role", "security-officer")


def described(ecluse: Run, folder: Path, name: str, *more: object) -> Said:
    """An officer by one command: private key, and the whole document."""
    files = ("--out", folder / f"{name}.pem", "--json-out", folder / f"{name}.json")
    return ecluse("officer", "key", *files, "--id", name, "--name", f"Zz {name}", *more, "--json")


def unsigned(ecluse: Run, folder: Path, *officers: str) -> Path:
    """A founding document that nobody signed, of these officers; with an authority beside it."""
    assert ecluse("ca", "init", folder / "ca", "--org", BE, "--demo", "--json").code == 0
    assert ecluse("agreement", "key", "--out", folder, "--org", BE, "--json").code == 0
    named = [word for name in officers for word in ("--officer", folder / f"{name}.json")]
    document = folder / "founding.json"
    made = ecluse("founding", "new", "--org", BE, "--nation", "BEL", "--name", "Zz (synthetic)", "--demo", *named,
                  "--agreement-key", folder / "agreement.json", "--out", document, "--json")  # fmt: skip
    assert made.code == 0, made.out
    return document


def test_an_officer_is_written_whole(ecluse: Run, tmp_path: Path) -> None:
    """Roles, need to know and clearance of the options stand in the document; what is wrong leaves no key behind."""
    clearance = ("--clearance-policy", "BEL", "--clearance-level", "UNCLASSIFIED", "--clearance-until")
    person = ("--person", "person-1")
    for wrong in (
        (*SECURITY,),
        (*person,),
        (*person, "--role", "Zzemo"),
        (*person, *SECURITY, *clearance[:2]),
    ):
        said = described(ecluse, tmp_path, "be-one", *wrong)
        assert (said.code, said.document["error"]["code"]) == (2, "request-invalid")
        assert "Zzemo" not in said.out
    assert os.listdir(tmp_path) == []
    more = (*person, *SECURITY, "--need-to-know", "bdc-person/1.0", *clearance, "2027-11-21T00:00:00Z")
    assert described(ecluse, tmp_path, "be-one", *more).code == 0
    officer = msgspec.json.decode((tmp_path / "be-one.json").read_bytes(), type=Officer)
    assert (officer.id, officer.roles) == ("be-one", ("requester", "security-officer"))
    assert officer.clearance is not None
    assert officer.need_to_know == ("bdc-person/1.0",)


def test_a_founding_document_takes_only_signatures_that_count(ecluse: Run, tmp_path: Path) -> None:
    """A stranger, another's key, a missing role and the same person twice are refused and leave the file as it was; a
    document whose first signature does not hold says how to start again."""
    roles = {"be-one": SECURITY, "be-two": SECURITY, "be-three": ("--role", "requester")}
    for name, given_roles in roles.items():
        assert described(ecluse, tmp_path, name, "--person", f"person-{name}", *given_roles).code == 0
    document = unsigned(ecluse, tmp_path, *roles)

    def sign(officer: str, key: str) -> tuple[int, str]:
        before = document.read_bytes()
        words = ("--as", officer, "--officer-key", tmp_path / f"{key}.pem", "--json")
        said = ecluse("founding", "sign", document, *words)
        assert (said.code == 0) == (document.read_bytes() != before)
        return said.code, "" if said.code == 0 else said.document["error"]["code"]

    assert sign("be-nobody", "be-one") == (2, "role-missing")
    assert sign("be-one", "be-two") == (1, "signature-invalid")
    assert sign("be-three", "be-three") == (2, "role-missing")
    assert sign("be-one", "be-one") == (0, "")
    assert sign("be-one", "be-one") == (2, "role-missing")
    stuck = json.loads(document.read_bytes())
    document.write_text(json.dumps({**stuck, "endorsements": [stuck["endorsements"][0][:-4] + "AAAA"]}))
    assert sign("be-two", "be-two") == (2, "conflict")
    words = ("--as", "be-two", "--officer-key", tmp_path / "be-two.pem", "--json")
    assert "founding new" in ecluse("founding", "sign", document, *words).document["error"]["detail"]


def test_a_failed_init_leaves_nothing(ecluse: Run, tmp_path: Path) -> None:
    """A host outside the authority's names, a configuration that breaks its schema, an absent authority: exit code 2,
    and neither home nor trace; the next init with everything right makes the home, its heads empty."""
    for name in ("be-one", "be-two"):
        assert described(ecluse, tmp_path, name, "--person", f"person-{name}", *SECURITY).code == 0
    document = unsigned(ecluse, tmp_path, "be-one", "be-two")
    for name in ("be-one", "be-two"):
        words = ("--as", name, "--officer-key", tmp_path / f"{name}.pem", "--json")
        assert ecluse("founding", "sign", document, *words).code == 0
    good, bad = tmp_path / "good.toml", tmp_path / "bad.toml"
    good.write_text(CONFIG.format(org=BE, nation="BEL", title="Zz", ports=Ports(1, 2)))
    bad.write_text(good.read_text().replace('nation = "BEL"', ""))
    (tmp_path / "homes").mkdir()

    def init(config: Path, authority: str, host: str) -> Said:
        return ecluse("init", "--home", tmp_path / "homes" / "be", "--founding", document, "--config", config,
                      "--authority", tmp_path / authority, "--host", host, "--json")  # fmt: skip

    for config, authority, host in (
        (good, "ca", "gateway.example.invalid"),
        (bad, "ca", "localhost"),
        (good, "nowhere", "localhost"),
    ):
        said = init(config, authority, host)
        assert (said.code, os.listdir(tmp_path / "homes")) == (2, []), said.out
    assert (
        "`nation` is missing in `$.organisation`" in init(bad, "ca", "localhost").document["error"]["detail"]
    )
    assert init(good, "ca", "localhost").code == 0
    assert os.listdir(tmp_path / "homes") == ["be"]
    assert (tmp_path / "homes" / "be").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "homes" / "be" / "signer" / "heads.json").read_bytes() == b"{}"
    issued = json.loads((tmp_path / "ca" / "index.json").read_bytes())["issued"]
    assert {one["profile"] for one in issued.values()} >= {"tls-server", "tls-client"}
    assert init(good, "ca", "localhost").code == 2


def test_an_authority_without_names_says_what_to_give(ecluse: Run, tmp_path: Path) -> None:
    """Neither --permitted nor --demo: exit code 2, both are named, and no folder is made."""
    said = ecluse("ca", "init", tmp_path / "ca", "--org", BE, "--json")
    assert said.code == 2
    assert "--permitted" in said.document["error"]["detail"]
    assert not (tmp_path / "ca").exists()


def test_a_file_that_cannot_be_read_is_named(ecluse: Run, tmp_path: Path) -> None:
    """Which of several files it was stands in the error; a missing member is told by name."""
    absent = tmp_path / "absent.json"
    said = ecluse("agreement", "offer", absent, "--out", tmp_path / "out.json")
    assert said.err == f"error: request-invalid: the file cannot be read (file {absent})\n"
    empty = tmp_path / "terms.toml"
    empty.write_text("")
    said = ecluse("agreement", "offer", empty, "--out", tmp_path / "out.json")
    assert "`series` is missing in `$`" in said.err
    assert str(empty) in said.err


def officer_file(ecluse: Run, folder: Path, name: str) -> Path:
    """An officer with a fresh key, as the document the founding takes."""
    said = ecluse("officer", "key", "--out", folder / f"{name}.pem", "--json")
    assert said.code == 0
    assert (folder / f"{name}.pem").stat().st_mode & 0o777 == 0o600
    key = msgspec.convert(said.document, OfficerKey)
    officer = Officer(name, f"person-{name}", f"Zz {name}", ("requester", "security-officer"), (key,))
    return written(folder / f"{name}.json", officer)


def test_a_home_is_founded_by_two(ecluse: Run, tmp_path: Path) -> None:
    """Authority, keys, founding document, two signatures, init, config check, own entry: each step by command; with one
    signature init refuses, and a third signature is refused."""
    assert ecluse("ca", "init", tmp_path / "ca", "--org", BE, "--demo", "--json").code == 0
    first, second = (officer_file(ecluse, tmp_path, name) for name in ("be-one", "be-two"))
    assert ecluse("agreement", "key", "--out", tmp_path, "--org", BE, "--json").code == 0
    document = tmp_path / "founding.json"
    made = ecluse("founding", "new", "--org", BE, "--nation", "BEL", "--name", "Zz (synthetic)", "--demo",
                  "--officer", first, "--officer", second, "--agreement-key", tmp_path / "agreement.json",
                  "--out", document, "--json")  # fmt: skip
    assert made.code == 0, made.out
    config = tmp_path / "gateway.toml"
    config.write_text(CONFIG.format(org=BE, nation="BEL", title="Zz", ports=Ports(1, 2)))
    home = tmp_path / "home"
    init = ("init", "--home", home, "--founding", document, "--config", config, "--authority", tmp_path / "ca",
            "--host", "localhost", "--json")  # fmt: skip

    def sign(name: str) -> int:
        key = tmp_path / f"{name}.pem"
        return ecluse("founding", "sign", document, "--as", name, "--officer-key", key, "--json").code

    assert sign("be-one") == 0
    assert (ecluse(*init).code, home.exists()) == (2, False)
    assert sign("be-two") == 0
    assert sign("be-two") == 2
    said = ecluse(*init)
    assert said.code == 0, said.out
    assert ecluse(*init).code == 2
    checked = ecluse("config", "check", "--home", home, "--json")
    assert checked.document["sha256"] == hashlib.sha256(config.read_bytes()).hexdigest()
    trust = (
        "partner",
        "trust",
        FR,
        "--home",
        home,
        "--crl",
        tmp_path / "ca" / "crl.pem",
        "--json",
        "--authority",
    )
    assert ecluse(*trust, tmp_path / "ca" / "ca.pem").code == 0
    assert (home / "tls" / "partners" / f"{FR}.pem").is_file()
    assert ecluse(*trust, config).document["error"]["code"] == "request-invalid"
    entry = tmp_path / "entry.json"
    exported = ecluse("partner", "export", "--home", home, "--endpoint", "https://localhost:1", "--tls-name",
                      "localhost", "--recipient-kind", "other", "--out", entry, "--json")  # fmt: skip
    assert exported.code == 0
    partner = msgspec.json.decode(entry.read_bytes(), type=Partner)
    assert {key.use for key in partner.keys} == {
        "message", "receipt", "tls-server", "tls-client", "log", "encryption", "witness", "agreement",
    }  # fmt: skip


def test_a_configuration_error_names_the_member(ecluse: Run, tmp_path: Path) -> None:
    """An unknown member is exit code 2 with its path, and never its value."""
    (tmp_path / "gateway.toml").write_text(
        CONFIG.format(org=BE, nation="BEL", title="Zz", ports=Ports(1, 2)) + "\nlistn = 'Zzemo'\n"
    )
    said = ecluse("config", "check", "--home", tmp_path, "--json")
    assert (said.code, said.document["error"]["code"]) == (2, "config-invalid")
    assert "Zzemo" not in said.out + said.err
    assert "listn" not in said.out + said.err
    assert tomllib.loads(CONFIG.format(org=BE, nation="BEL", title="Zz", ports=Ports(1, 2)))


def test_an_agreement_is_signed_by_each_side_once(ecluse: Run, tmp_path: Path) -> None:
    """Offer, both signatures, show: the digest never moves; a stranger, a second signature, the other side's key and
    one without its public record are refused and leave the file as it was; what results verifies with both records."""
    from gateway.model.agreement import SignedAgreement
    from gateway.service.app import now
    from gateway.wire.agreement import verify_agreement
    from gateway.wire.strict import b64url_decode

    records = {}
    for org in (BE, FR):
        folder = tmp_path / "offline" / org
        folder.mkdir(parents=True)
        assert ecluse("agreement", "key", "--out", folder, "--org", org, "--json").code == 0
        records[org] = (msgspec.json.decode((folder / "agreement.json").read_bytes(), type=KeyRecord),)
    whole = staging.agreement(tmp_path, FR, "police", "police", now(), 100, "hybrid")
    terms = tmp_path / "terms.json"
    terms.write_bytes(b64url_decode(whole.terms))
    agreement = tmp_path / "agreement.json"
    assert ecluse("agreement", "offer", terms, "--out", agreement, "--json").code == 0
    digest = ecluse("agreement", "show", agreement, "--json").document["sha256"]

    def sign(org: str, key: str) -> int:
        path = tmp_path / "offline" / key / "agreement.pem"
        return ecluse("agreement", "sign", agreement, "--key", path, "--org", org, "--json").code

    assert sign(BE, BE) == 0
    stray = tmp_path / "offline" / "stray"
    stray.mkdir()
    assert ecluse("agreement", "key", "--out", stray, "--org", FR, "--json").code == 0
    (stray / "agreement.json").unlink()
    half = agreement.read_bytes()
    assert [sign(BE, BE), sign("deu.nobody", FR), sign(FR, BE), sign(FR, "stray")] == [2, 2, 2, 2]
    assert agreement.read_bytes() == half
    assert sign(FR, FR) == 0
    shown = ecluse("agreement", "show", agreement, "--json").document
    assert (shown["sha256"], shown["signed_by"]) == (digest, [BE, FR])
    signed = msgspec.json.decode(agreement.read_bytes(), type=SignedAgreement)
    state = verify_agreement(signed, records, ours=BE, theirs=FR, now=now())
    assert (state.signed_ours, state.signed_theirs) == (True, True)


def test_terms_that_nobody_could_sign_are_refused(ecluse: Run, tmp_path: Path) -> None:
    """Terms without their members: exit code 2, the member named, nothing written."""
    terms = tmp_path / "terms.toml"
    terms.write_text('series = "Zzemo"\n')
    said = ecluse("agreement", "offer", terms, "--out", tmp_path / "out.json", "--json")
    assert (said.code, said.document["error"]["code"]) == (2, "request-invalid")
    assert not (tmp_path / "out.json").exists()
    assert "Zzemo" not in said.out


def test_terms_are_checked_before_anybody_signs(ecluse: Run, tmp_path: Path) -> None:
    """`check` names every fault, the schema's among them; `offer` refuses the same terms with the first one."""
    sample = Path(__file__).resolve().parents[2] / "docs" / "samples" / "terms.toml"
    sound = ecluse("agreement", "check", sample, "--json")
    assert (sound.code, sound.document["sound"]) == (0, True)
    terms = tmp_path / "terms.toml"
    text = sample.read_text("utf-8")
    terms.write_text(text.replace('["/national_number"]', '["/names/*"]').replace('["fr", "nl"]', "[]"))
    said = ecluse("agreement", "check", terms, "--json")
    assert said.code == 1
    assert [(one["field"], one["rule"]) for one in said.document["faults"]] == [
        ("languages", "member.present"), ("lifts[0]", "lift.class-c")
    ]  # fmt: skip
    refused = ecluse("agreement", "offer", terms, "--out", tmp_path / "out.json", "--json")
    assert (refused.code, refused.document["error"]["diagnostic"]["rule"]) == (2, "member.present")
    assert not (tmp_path / "out.json").exists()
    terms.write_text('series = "Zzemo"\n')
    broken = ecluse("agreement", "check", terms, "--json")
    assert (broken.code, broken.document["faults"][0]["rule"]) == (1, "schema")
    assert "Zzemo" not in broken.out


def test_an_authority_issues_and_revokes(ecluse: Run, tmp_path: Path) -> None:
    """A certificate for a key, its serial revoked, an unknown serial refused; every answer one document."""
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    folder, key, out = tmp_path / "ca", tmp_path / "key.pem", tmp_path / "leaf.pem"
    public = ec.generate_private_key(ec.SECP256R1()).public_key()
    key.write_bytes(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    assert ecluse("ca", "init", folder, "--org", FR, "--demo", "--json").code == 0
    assert ecluse("ca", "init", folder, "--org", FR, "--demo", "--json").code == 2
    issue = (
        "ca",
        "issue",
        folder,
        "tls-server",
        "--org",
        FR,
        "--key",
        key,
        "--out",
        out,
        "--name",
        "localhost",
    )
    issued = ecluse(*issue, "--days", 5, "--json")
    assert issued.code == 0, issued.out
    assert ecluse("ca", "revoke", folder, issued.document["serial"], "--json").code == 0
    assert ecluse("ca", "revoke", folder, "ff", "--json").document["error"]["code"] == "not-found"
    assert ecluse("ca", "revoke", folder, "zz", "--json").document["error"]["code"] == "request-invalid"


def sealed_message(folder: Path, suite: Suite = SUITE, payload: bytes = b'{"note":"synthetic"}') -> Path:
    """One sealed message for the keys of the wire tests, and the folder that opens it.

    The first suite with one signature, the second with two.
    """
    record = parties.encryption_record() if suite == SUITE else parties.jwe_record()
    profile = "classic" if suite == SUITE else "hybrid"
    header = parties.seal_header(payload, suite=suite, enc_kid=record.kid, sig_profile=profile)
    jws, second = sign_seal(header, payload, parties.KEY), ""
    if profile == "hybrid":
        under = second_header(header, kid=parties.MLDSA_KID, x5t=parties.MLDSA_CERTIFICATE)
        second = sign_seal(under, payload, parties.MLDSA_KEY)
    preamble = Preamble(1, suite, header.iss, header.aud, header.jti, header.enc_kid)
    path = folder / "message.sealed"
    path.write_bytes(encrypt(preamble, pack(jws, payload, second), record))
    keys = folder / "keys"
    keys.mkdir()
    (keys / "encryption.bin").write_bytes(parties.KEM_SEED)
    pem = parties.JWE_KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (keys / "encryption-jwe.pem").write_bytes(pem)
    known = (parties.key_record("message"), parties.mldsa_record())
    sender = Partner(parties.OURS, "BEL", "Zz", "police", known, "", "", (), (), Assurance())
    written(keys / "partner.json", sender)
    return path


AT = "2026-11-21T21:00:00Z"


@pytest.mark.parametrize("suite", [SUITE, jwe.SUITE])
def test_a_message_opens_offline(ecluse: Run, tmp_path: Path, suite: Suite) -> None:
    """With our key of its suite and the sender's entry, header and exact payload are shown, exit code 0."""
    path = sealed_message(tmp_path, suite)
    said = ecluse("message", "open", path, "--keys", tmp_path / "keys", "--at", AT, "--json")
    assert said.code == 0, said.out
    assert base64.b64decode(said.document["payload_base64"]) == b'{"note":"synthetic"}'
    assert said.document["header"]["jti"] == parties.MESSAGE_ID
    assert said.document["header"]["suite"] == suite


@pytest.mark.parametrize("broken", [b"", b"no key", "P-384"])
def test_an_opening_key_must_be_on_p256(ecluse: Run, tmp_path: Path, broken: bytes | str) -> None:
    """A file that is no unencrypted P-256 key is our own mistake: exit code 2."""
    path = sealed_message(tmp_path, jwe.SUITE)
    if isinstance(broken, str):
        other = ec.generate_private_key(ec.SECP384R1())
        broken = other.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (tmp_path / "keys" / "encryption-jwe.pem").write_bytes(broken)
    said = ecluse("message", "open", path, "--keys", tmp_path / "keys", "--at", AT, "--json")
    assert (said.code, said.document["error"]["code"]) == (2, "config-invalid")


@pytest.mark.parametrize(
    ("flaw", "code"),
    [("ciphertext", "malformed"), ("sender", "signature-invalid"), ("time", "signature-invalid")],
)
def test_a_message_that_does_not_hold_is_a_negative_answer(
    ecluse: Run, tmp_path: Path, flaw: str, code: str
) -> None:
    """A changed byte, another sender's keys, keys not valid at the time: exit code 1 and the reason's code."""
    path = sealed_message(tmp_path)
    if flaw == "ciphertext":
        path.write_bytes(path.read_bytes()[:-1] + bytes([path.read_bytes()[-1] ^ 1]))
    elif flaw == "sender":
        other = parties.key_record("message", key=parties.OTHER_KEY)
        sender = Partner(parties.OURS, "BEL", "Zz", "police", (other,), "", "", (), (), Assurance())
        written(tmp_path / "keys" / "partner.json", sender)
    at = "2020-01-01T00:00:00Z" if flaw == "time" else AT
    said = ecluse("message", "open", path, "--keys", tmp_path / "keys", "--at", at, "--json")
    assert (said.code, said.document["verified"], said.document["error"]["code"]) == (1, False, code)


LINES = st.lists(st.binary(max_size=12).map(lambda line: line.replace(b"\n", b"")), max_size=30)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=LINES, ended=st.booleans(), most_bytes=st.integers(13, 40), most_lines=st.integers(1, 5))
def test_chunks_are_the_file_in_whole_lines(
    tmp_path: Path, lines: list[bytes], ended: bool, most_bytes: int, most_lines: int
) -> None:
    """Chunks joined are the file; each starts at the line number it says, ends with its line and keeps both limits."""
    raw = b"\n".join(lines) + (b"\n" if ended else b"")
    path = tmp_path / "lines"
    path.write_bytes(raw)
    found = list(chunks(path, most_bytes=most_bytes, most_lines=most_lines))
    assert b"".join(chunk.lines for chunk in found) == raw
    number = 1
    for chunk in found:
        assert chunk.first_line == number
        assert 0 < len(chunk.lines) <= most_bytes
        assert len(chunk.lines.splitlines(keepends=True)) >= 1
        count = chunk.lines.count(b"\n") + (not chunk.lines.endswith(b"\n"))
        assert count <= most_lines
        number += count


def test_a_line_too_long_to_send_is_named_and_left_out(tmp_path: Path) -> None:
    """The line between two good ones is reported under its own number; both neighbours keep theirs."""
    path = tmp_path / "lines"
    path.write_bytes(b"one\n" + b"x" * 100 + b"\nthree\n")
    found = [(chunk.first_line, chunk.lines, chunk.oversized) for chunk in chunks(path, most_bytes=10)]
    assert found == [(1, b"one\n", False), (2, b"", True), (3, b"three\n", False)]


def test_a_key_is_never_overwritten(ecluse: Run, tmp_path: Path) -> None:
    """A second key to the same file is refused with exit code 2, and the first stays."""
    path = tmp_path / "officer.pem"
    assert ecluse("officer", "key", "--out", path, "--json").code == 0
    before = path.read_bytes()
    said = ecluse("officer", "key", "--out", path, "--json")
    assert (said.code, said.document["error"]["code"]) == (2, "conflict")
    assert path.read_bytes() == before
    assert json.loads(said.out)
    assert os.listdir(tmp_path) == ["officer.pem"]
