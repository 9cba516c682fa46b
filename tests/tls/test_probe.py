"""What the listener really offers, measured in processes that start as `serve` does."""

import json
import os
import ssl
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.errors import ConfigInvalid
from gateway.service.tls import (
    GROUPS,
    HYBRID_GROUP,
    SUITES,
    ensure_openssl_conf,
    openssl_conf,
    server_context,
)
from gateway.service.tls_probe import KNOWN_GROUPS, KNOWN_SUITES, REQUIRED_GROUPS, client_hello, self_probe
from tests.tls.pki import Pki

#: Probes the listener of a folder the way `serve` does; ``change`` breaks one setting first.
PROGRAM = """
import json, ssl, sys
from pathlib import Path
from gateway.errors import GatewayError
from gateway.service.tls import TlsFiles, ensure_openssl_conf, server_context
from gateway.service.tls_probe import self_probe
import os

folder, change = Path(sys.argv[1]), sys.argv[2]
starts = folder / f"starts-{os.getpid()}"
starts.write_text(starts.read_text() + "x" if starts.exists() else "x")
if change != "no-configuration":
    ensure_openssl_conf(folder / "openssl.cnf", sys.orig_argv, os.environ)
ca = ((folder / "ca" / "ca.pem",), (folder / "ca" / "crl.pem",))
context = server_context(TlsFiles(folder / "tls-server.pem", folder / "tls-server.key", *ca))
if change == "tls-1.2":
    context.minimum_version = ssl.TLSVersion.TLSv1_2
elif change == "no-client-certificate":
    context.verify_mode = ssl.CERT_NONE
elif change == "optional-client-certificate":
    context.verify_mode = ssl.CERT_OPTIONAL
elif change == "p-521":
    context.set_ecdh_curve("secp521r1")
client = "flawed" if change == "flawed-client" else "tls-client"
try:
    report = self_probe(context, TlsFiles(folder / f"{client}.pem", folder / f"{client}.key", *ca))
    answer = {"versions": sorted(report.versions), "suites": sorted(report.suites), "groups": sorted(report.groups)}
except GatewayError as error:
    answer = {"code": error.code, **error.diagnostic}
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, mldsa
ec.generate_private_key(ec.SECP521R1()).sign(b"", ec.ECDSA(hashes.SHA256()))
mldsa.MLDSA44PrivateKey.generate().sign(b"")
print(json.dumps(answer | {"starts": len(starts.read_text()), "argv": sys.argv[1:]}))
"""


def start(pki: Pki, change: str, environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    program = pki.folder / "probe_program.py"
    program.write_text(PROGRAM)
    path = [str(Path(__file__).resolve().parents[2]), str(pki.folder), os.environ.get("PYTHONPATH", "")]
    clean = {k: v for k, v in os.environ.items() if k not in ("OPENSSL_CONF", "ECLUSE_OPENSSL_CONF")}
    return subprocess.run(
        [sys.executable, "-X", "utf8", "-m", "probe_program", str(pki.folder), change],
        env=clean | {"PYTHONPATH": os.pathsep.join(path)} | environ,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )


def run(pki: Pki, change: str, *, environ: dict[str, str] | None = None) -> dict[str, object]:
    ran = start(pki, change, environ or {})
    assert ran.returncode == 0, ran.stderr
    answer: dict[str, object] = json.loads(ran.stdout)
    return answer


def test_the_strict_listener(pki: Pki) -> None:
    """Started as `serve` starts: re-executed once, arguments intact, and exactly the profile is on offer."""
    answer = run(pki, "nothing")
    hybrid = {HYBRID_GROUP} if ssl.OPENSSL_VERSION_INFO[:2] >= (3, 5) else set()
    assert answer == {
        "versions": ["TLSv1.3"],
        "suites": sorted(SUITES),
        "groups": sorted(REQUIRED_GROUPS | hybrid),
        "starts": 2,
        "argv": [str(pki.folder), "nothing"],
    }


@pytest.mark.parametrize(
    ("change", "probe"),
    [
        ("no-configuration", "suites"),
        ("tls-1.2", "versions"),
        ("p-521", "groups"),
        ("no-client-certificate", "client-certificate"),
        ("optional-client-certificate", "client-certificate"),
    ],
)
def test_each_weakness_is_found(pki: Pki, change: str, probe: str) -> None:
    """One setting broken, one probe that names it: the listener is never served."""
    answer = run(pki, change)
    assert (answer["code"], answer.get("probe")) == ("config-invalid", probe)


def test_a_partner_who_would_be_refused(pki: Pki) -> None:
    """The last probe shakes hands as a partner does, our own check included."""
    pki.flawed("tls-client", lambda draft: draft)
    assert "versions" in run(pki, "flawed-client")
    pki.good("tls-server", name="spare")
    os.replace(pki.folder / "spare.pem", pki.folder / "flawed.pem")
    os.replace(pki.folder / "spare.key", pki.folder / "flawed.key")
    assert run(pki, "flawed-client")["code"] == "certificate-profile"


def test_a_silently_dropped_list(pki: Pki, tmp_path: Path) -> None:
    """OpenSSL before 3.5 drops a list of groups with an unknown name without a word: the probe notices."""
    conf = tmp_path / "openssl.cnf"
    good = openssl_conf(ssl.OPENSSL_VERSION_INFO)
    conf.write_text(good.replace("Groups = ", "Groups = no-such-group:"))
    answer = run(pki, "no-configuration", environ={"OPENSSL_CONF": str(conf)})
    assert (answer["code"], answer["probe"]) == ("config-invalid", "groups")
    conf.write_text(good)
    assert "groups" in run(pki, "no-configuration", environ={"OPENSSL_CONF": str(conf)})


def test_the_operators_own_configuration_gives_way(pki: Pki, tmp_path: Path) -> None:
    """Another OPENSSL_CONF in the environment is replaced, not merged."""
    conf = tmp_path / "openssl.cnf"
    conf.write_text("")
    assert run(pki, "nothing", environ={"OPENSSL_CONF": str(conf)})["starts"] == 2


def test_never_twice(pki: Pki, tmp_path: Path) -> None:
    """A re-executed process that is still not under the settings stops instead of starting over."""
    (tmp_path / "openssl.cnf").write_text("# changed meanwhile")
    for place in (tmp_path / "openssl.cnf", tmp_path / "absent", tmp_path):
        ran = start(pki, "nothing", {"ECLUSE_OPENSSL_CONF": "1", "OPENSSL_CONF": str(place)})
        assert ran.returncode != 0
        assert "ConfigInvalid" in ran.stderr


def test_a_child_goes_on(tmp_path: Path) -> None:
    """A process that inherits the settings writes nothing and is not started again."""
    conf = tmp_path / "openssl.cnf"
    conf.write_text(openssl_conf(ssl.OPENSSL_VERSION_INFO))
    environ = {"OPENSSL_CONF": str(conf), "ECLUSE_OPENSSL_CONF": "1"}
    ensure_openssl_conf(tmp_path / "other.cnf", ["python"], environ)
    assert not (tmp_path / "other.cnf").exists()


def test_an_unwritable_place(tmp_path: Path) -> None:
    """Without its configuration the gateway does not start."""
    with pytest.raises(ConfigInvalid):
        ensure_openssl_conf(tmp_path / "absent" / "openssl.cnf", ["python"], {})


@pytest.mark.parametrize(
    ("version", "hybrid"),
    [((3, 0, 0, 19, 0), False), ((3, 4, 0, 1, 0), False), ((3, 5, 0, 0, 0), True), ((4, 0, 0, 3, 0), True)],
)
def test_the_hybrid_group_comes_first_where_it_exists(version: tuple[int, ...], hybrid: bool) -> None:
    """Before 3.5 the name must not appear at all, since it would void the whole list."""
    groups = (HYBRID_GROUP, *GROUPS) if hybrid else GROUPS
    assert f"\nGroups = {':'.join(groups)}\n" in openssl_conf(version)


def test_the_linked_library_as_client_agrees(pki: Pki) -> None:
    """The hand-built hello is one the library itself would understand: every field parses, none is left over."""
    context = server_context(pki.files("tls-server"))
    for hello, expected in (
        (client_hello(), 22),
        (client_hello(suites=[KNOWN_SUITES[SUITES[0]]], groups=[KNOWN_GROUPS["x25519"]]), 22),
        (client_hello(version=0x0303), 21),
        (client_hello(suites=[0x13FF]), 21),
        (client_hello(groups=[0xFFFF]), 21),
    ):
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        server = context.wrap_bio(incoming, outgoing, server_side=True)
        incoming.write(hello)
        with pytest.raises(ssl.SSLWantReadError if expected == 22 else ssl.SSLError):
            server.do_handshake()
        assert outgoing.read()[0] == expected


def test_an_unprobed_listener_is_refused_here(pki: Pki) -> None:
    """Under this process's own OpenSSL settings, which nobody narrowed, the probe refuses."""
    if os.environ.get("OPENSSL_CONF"):
        pytest.skip("the environment narrows OpenSSL already")
    with pytest.raises(ConfigInvalid) as refusal:
        self_probe(server_context(pki.files("tls-server")))
    assert refusal.value.diagnostic == {"probe": "suites"}
