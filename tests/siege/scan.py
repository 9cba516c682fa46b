"""What the listener offers, seen from outside: one handshake of ``openssl s_client`` for each thing offered alone.

`gateway.service.tls_probe` measures the same from inside with hellos of its own; this is the second opinion.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping, Sequence

VERSIONS: Mapping[str, Sequence[str]] = {
    "TLSv1": ("-tls1", "-cipher", "ALL:@SECLEVEL=0"),
    "TLSv1.1": ("-tls1_1", "-cipher", "ALL:@SECLEVEL=0"),
    "TLSv1.2": ("-tls1_2", "-cipher", "ALL"),
    "TLSv1.3": ("-tls1_3",),
}
SUITES = (
    "TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256",
    "TLS_AES_128_CCM_SHA256", "TLS_AES_128_CCM_8_SHA256",
)  # fmt: skip
GROUPS = (
    "X25519", "X448", "P-256", "P-384", "P-521", "ffdhe2048", "ffdhe3072", "ffdhe4096", "ffdhe6144", "ffdhe8192",
    "X25519MLKEM768", "SecP256r1MLKEM768", "SecP384r1MLKEM1024",
)  # fmt: skip

#: Seconds for one handshake.
HANDSHAKE_S = 20


def available() -> bool:
    """Whether there is an openssl to scan with."""
    return shutil.which("openssl") is not None


def scan(port: int) -> dict[str, list[str]]:
    """Versions, suites and groups that a client without certificate gets a server hello for."""
    found = {
        "versions": [name for name, options in VERSIONS.items() if _offered(port, *options)],
        "suites": [name for name in SUITES if _offered(port, "-tls1_3", "-ciphersuites", name)],
        "groups": [name for name in GROUPS if _offered(port, "-tls1_3", "-groups", name)],
    }
    found["resumption"] = ["ticket"] if b"New Session Ticket" in _client(port, "-tls1_3", "-msg") else []
    return found


def _offered(port: int, *options: str) -> bool:
    """A suite was agreed on. A group that this openssl does not know counts as not offered."""
    said = _client(port, *options)
    return b"Cipher is " in said and b"Cipher is (NONE)" not in said


def _client(port: int, *options: str) -> bytes:
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{port}", "-servername", "localhost", *options]
    done = subprocess.run(command, input=b"", capture_output=True, timeout=HANDSHAKE_S, check=False)
    return done.stdout + done.stderr
