"""What does our own listener accept? Measured in memory before `serve` opens a port.

Settings can fail in silence (OpenSSL drops a whole list for one unknown name), so nothing here reads settings: each
probe is a ClientHello built by hand, offering exactly one thing, and the answer is either a server message or an alert.
The hand-built hello owes nothing to the linked library, which could not be made to offer what it must refuse.
"""

import ssl
import struct
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple, NoReturn

from gateway.errors import ConfigInvalid, UnknownPartner
from gateway.service.tls import HYBRID_GROUP, SUITES, TlsFiles, client_context, peer_evidence

#: Every TLS 1.3 suite with a code point (RFC 8446 §B.4).
KNOWN_SUITES: Mapping[str, int] = {
    "TLS_AES_128_GCM_SHA256": 0x1301,
    "TLS_AES_256_GCM_SHA384": 0x1302,
    "TLS_CHACHA20_POLY1305_SHA256": 0x1303,
    "TLS_AES_128_CCM_SHA256": 0x1304,
    "TLS_AES_128_CCM_8_SHA256": 0x1305,
}
#: Groups of the IANA registry that OpenSSL can negotiate in TLS 1.3.
KNOWN_GROUPS: Mapping[str, int] = {
    "secp256r1": 0x0017,
    "secp384r1": 0x0018,
    "secp521r1": 0x0019,
    "x25519": 0x001D,
    "x448": 0x001E,
    "brainpoolP256r1tls13": 0x001F,
    "brainpoolP384r1tls13": 0x0020,
    "brainpoolP512r1tls13": 0x0021,
    "ffdhe2048": 0x0100,
    "ffdhe3072": 0x0101,
    "ffdhe4096": 0x0102,
    "ffdhe6144": 0x0103,
    "ffdhe8192": 0x0104,
    "MLKEM512": 0x0200,
    "MLKEM768": 0x0201,
    "MLKEM1024": 0x0202,
    "SecP256r1MLKEM768": 0x11EB,
    "X25519MLKEM768": 0x11EC,
    "SecP384r1MLKEM1024": 0x11ED,
}
KNOWN_VERSIONS: Mapping[str, int] = {"TLSv1": 0x0301, "TLSv1.1": 0x0302, "TLSv1.2": 0x0303, "TLSv1.3": 0x0304}

REQUIRED_GROUPS = frozenset({"x25519", "secp256r1", "secp384r1"})
ALLOWED_GROUPS = REQUIRED_GROUPS | {HYBRID_GROUP}

#: The best of TLS 1.2, so that a refusal is for the version and nothing else (RFC 5289, RFC 7905).
_TLS12_SUITES = (0xC02C, 0xC030, 0xCCA9, 0xCCA8, 0xC02B, 0xC02F)
#: ecdsa P-256 and P-384, rsa_pss_rsae and rsa_pkcs1 with SHA-256, -384, -512 (RFC 8446 §4.2.3).
_SIGNATURE_ALGORITHMS = (0x0403, 0x0503, 0x0804, 0x0805, 0x0806, 0x0401, 0x0501, 0x0601)
_ALERT, _HANDSHAKE = 21, 22  # record content types (RFC 8446 §5.1)
_SERVER_HELLO = 2  # handshake type, of HelloRetryRequest too (§4)
_TLS13 = KNOWN_VERSIONS["TLSv1.3"]
_MAX_FLIGHTS = 6  # of a handshake in memory; TLS 1.3 with a retry needs four


@dataclass(frozen=True, slots=True)
class ProbeReport:
    """What the listener was seen to accept. Its existence proves that it is exactly what the profile allows."""

    versions: frozenset[str]
    suites: frozenset[str]
    groups: frozenset[str]


def self_probe(context: ssl.SSLContext, client_files: TlsFiles | None = None) -> ProbeReport:
    """Measure a listening context, and refuse to serve with it unless it is as strict as its profile.

    1. versions: each offered alone, TLS 1.3 and only it is answered;
    2. suites: each offered alone, exactly our two are answered;
    3. groups: each offered alone, the three required are answered, beside them only the hybrid one;
    4. a client without certificate sees our handshake complete, signed by our certificate, and is then refused;
    5. with ``client_files``, whose authority this listener must trust, a whole handshake holds at both ends.

    An accepted offer in (1) to (3) is the control of the refused ones: they differ in that offer alone. Raises
    `ConfigInvalid` with the probe's name in ``diagnostic``.
    """
    # (1)
    versions = _accepted(context, KNOWN_VERSIONS, lambda version: client_hello(version=version))
    _demand("versions", versions, required={"TLSv1.3"})
    # (2)
    suites = _accepted(context, KNOWN_SUITES, lambda suite: client_hello(suites=[suite]))
    _demand("suites", suites, required=set(SUITES))
    # (3)
    groups = _accepted(context, KNOWN_GROUPS, lambda group: client_hello(groups=[group]))
    _demand("groups", groups, required=set(REQUIRED_GROUPS), allowed=set(ALLOWED_GROUPS))
    # (4)
    _probe_anonymous(context)
    # (5)
    if client_files is not None:
        _probe_partner(context, client_context(client_files))
    return ProbeReport(versions, suites, groups)


def client_hello(
    *,
    version: int = _TLS13,
    suites: Sequence[int] = tuple(KNOWN_SUITES.values()),
    groups: Sequence[int] = tuple(KNOWN_GROUPS.values()),
) -> bytes:
    """One TLS record with a ClientHello that offers just this (RFC 8446 §4.1.2).

    The list of key shares is empty, which asks the server to name a group it likes (§4.2.8): it answers with a
    HelloRetryRequest where it would go on, so no key has to be made for any group.
    """
    extensions = [
        (10, _vector(2, _uint16s(groups))),  # supported_groups
        (13, _vector(2, _uint16s(_SIGNATURE_ALGORITHMS))),  # signature_algorithms
    ]
    if version == _TLS13:
        extensions.append((43, _vector(1, _uint16s([_TLS13]))))  # supported_versions
        extensions.append((51, _vector(2, b"")))  # key_share
    else:
        suites = _TLS12_SUITES
    body = (
        struct.pack("!H", min(version, KNOWN_VERSIONS["TLSv1.2"]))  # legacy_version
        + bytes(range(32))  # random: nothing is ever derived from it
        + _vector(1, b"")  # legacy_session_id
        + _vector(2, _uint16s(suites))
        + _vector(1, b"\0")  # legacy_compression_methods: null
        + _vector(2, b"".join(struct.pack("!H", kind) + _vector(2, data) for kind, data in extensions))
    )
    message = b"\x01" + _vector(3, body)
    return struct.pack("!BH", _HANDSHAKE, KNOWN_VERSIONS["TLSv1"]) + _vector(2, message)


def _vector(width: int, content: bytes) -> bytes:
    """A variable-length vector: its length in ``width`` bytes, then the bytes (RFC 8446 §3.4)."""
    return len(content).to_bytes(width, "big") + content


def _uint16s(values: Iterable[int]) -> bytes:
    return b"".join(value.to_bytes(2, "big") for value in values)


def _accepted(
    context: ssl.SSLContext, offers: Mapping[str, int], hello: Callable[[int], bytes]
) -> frozenset[str]:
    return frozenset(name for name, offer in offers.items() if _answers(context, hello(offer)))


def _answers(context: ssl.SSLContext, hello: bytes) -> bool:
    """Whether the server goes on. Anything but a server message or an alert is a broken probe: `ConfigInvalid`."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = context.wrap_bio(incoming, outgoing, server_side=True)
    incoming.write(hello)
    with suppress(
        ssl.SSLError
    ):  # waits for more after a retry request, or fails after an alert: the bytes tell
        server.do_handshake()
    answer = outgoing.read()
    if answer[:1] == bytes([_HANDSHAKE]) and answer[5:6] == bytes([_SERVER_HELLO]):
        return True
    if answer[:1] == bytes([_ALERT]):
        return False
    _refuse("answer", "the listener answers neither with a handshake message nor with an alert")


def _demand(probe: str, found: Set[str], *, required: Set[str], allowed: Set[str] = frozenset()) -> None:
    if not required <= found <= (required | allowed):
        _refuse(probe, "the listener does not accept exactly what the TLS profile allows")


def _probe_anonymous(context: ssl.SSLContext) -> None:
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_mode = ssl.CERT_NONE  # it meets only our own listener, in memory
    handshake = _handshake(context, client)
    if "client" not in handshake.completed:
        _refuse("certificate", "the listener cannot complete a handshake with its certificate and key")
    if handshake.failure is None:
        _refuse("client-certificate", "the listener serves a client without certificate")


def _probe_partner(context: ssl.SSLContext, client: ssl.SSLContext) -> None:
    client.check_hostname = False  # the listener's name is its partners' business
    handshake = _handshake(context, client)
    try:
        if handshake.completed == {"client", "server"}:
            peer_evidence(handshake.client)
            peer_evidence(handshake.server)
            return
    except UnknownPartner:
        pass  # the same answer: a partner like ourselves would not get in
    _refuse("handshake", "the listener refuses a partner's handshake")


class _Handshake(NamedTuple):
    client: ssl.SSLObject
    server: ssl.SSLObject
    completed: frozenset[str]  # "client", "server"
    failure: ssl.SSLError | None  # of whichever end failed first


def _handshake(server_context: ssl.SSLContext, client_context: ssl.SSLContext) -> _Handshake:
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = client_context.wrap_bio(to_client, to_server)
    server = server_context.wrap_bio(to_server, to_client, server_side=True)
    completed: set[str] = set()
    for _ in range(_MAX_FLIGHTS):
        for name, end in (("client", client), ("server", server)):
            try:
                end.do_handshake()
                completed.add(name)
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLError as failure:
                return _Handshake(client, server, frozenset(completed), failure)
    return _Handshake(client, server, frozenset(completed), None)


def _refuse(probe: str, detail: str) -> NoReturn:
    raise ConfigInvalid(detail, diagnostic={"probe": probe})
