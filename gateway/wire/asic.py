"""ASiC-E with CAdES (ETSI EN 319 162-1): a zip whose files are named, digested and signed, for readers without us.

``unzip`` opens it; ``openssl cms -verify`` checks each signature over its manifest; ``sha256sum`` checks the files
against the manifest. Signatures are CAdES-B-B (EN 319 122-1): SignedData with the signer's certificate, and signed
attributes content type, digest, time and signing certificate (RFC 5035).
"""

from __future__ import annotations

import base64
import hashlib
import io
import re
import zipfile
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Final

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.hazmat.primitives.serialization.pkcs7 import load_der_pkcs7_certificates
from cryptography.x509.oid import NameOID
from lxml import etree

from gateway.errors import MalformedMessage, RequestInvalid
from gateway.wire.der import CONTEXT_0, INTEGER, OCTETS, SEQUENCE, UTC_TIME, der, integer, oid, set_of
from gateway.wire.jws import thumbprint

MIMETYPE: Final = b"application/vnd.etsi.asic-e+zip"

#: Files of one container, and bytes of all of them unpacked: a case of some thousand messages, and no bomb.
MAX_FILES: Final = 20_000
MAX_BYTES: Final = 512 * 1024 * 1024

#: Signatures of one container: the person who made it, the second one, and room.
MAX_SIGNATURES: Final = 9

#: Years that the certificate of a pack's signer is good for: the pack outlives the officer's key in force.
CERTIFICATE_YEARS: Final = 30

_ASIC = "http://uri.etsi.org/02918/v1.2.1#"
_DS = "http://www.w3.org/2000/09/xmldsig#"
_SHA256_URI = "http://www.w3.org/2001/04/xmlenc#sha256"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}(?:/[A-Za-z0-9][A-Za-z0-9._-]{0,99}){0,7}")
_MANIFEST = re.compile(r"META-INF/ASiCManifest([1-9])\.xml")

#: Zip knows no instant before it; every file has it, so that equal files are equal packs.
_ZIP_TIME = (1980, 1, 1, 0, 0, 0)

#: A UTCTime of whole seconds, as CMS and certificates write it.
_TIMES = re.compile(rb"\x17\x0d(\d{12}Z)")

_MIME = {"json": "application/json", "txt": "text/plain", "xml": "application/xml", "py": "text/x-python"}


class Signature(msgspec.Struct, frozen=True):
    """One signature of a container that holds: who, when, and the certificate as it stands in it."""

    signer: str  # common name of the certificate
    thumbprint: (
        str  # SHA-256 of the public key (SubjectPublicKeyInfo DER), base64url: the kid of an officer's key
    )
    at: datetime  # as the signer claims
    certificate: bytes  # DER


# --- making ----------------------------------------------------------------------------------------------------------


def seal(files: Mapping[str, bytes], key: ec.EllipticCurvePrivateKey, name: str, at: datetime) -> bytes:
    """A container of these files with one signature. Raises `RequestInvalid` for a name or size that it cannot hold."""
    _require_files(files)
    return _zip({**files, **_signed(files, 1, key, name, at)})


def countersign(container: bytes, key: ec.EllipticCurvePrivateKey, name: str, at: datetime) -> bytes:
    """The same container with one signature more over all of its files, after those that it has.

    Raises `MalformedMessage` when one of those does not hold, `RequestInvalid` when this key signed it already.
    """
    files, signatures = read(container)
    if thumbprint(key.public_key()) in {one.thumbprint for one in signatures}:
        raise RequestInvalid("this key signed the container already", diagnostic={"field": "as"})
    if len(signatures) == MAX_SIGNATURES:
        raise RequestInvalid("a container holds at most 9 signatures", diagnostic={"field": "file"})
    kept = {name: raw for name, raw in _unzip(container).items() if name.startswith("META-INF/")}
    return _zip({**files, **kept, **_signed(files, len(signatures) + 1, key, name, at)})


def _signed(
    files: Mapping[str, bytes], number: int, key: ec.EllipticCurvePrivateKey, name: str, at: datetime
) -> dict[str, bytes]:
    signature = f"META-INF/signature{number}.p7s"
    manifest = _manifest(files, signature)
    certificate = _certificate(key, name, at)
    return {f"META-INF/ASiCManifest{number}.xml": manifest, signature: _cms(manifest, key, certificate, at)}


def _manifest(files: Mapping[str, bytes], signature: str) -> bytes:
    root = etree.Element(f"{{{_ASIC}}}ASiCManifest", nsmap={"asic": _ASIC, "ds": _DS})
    etree.SubElement(root, f"{{{_ASIC}}}SigReference", URI=signature, MimeType="application/pkcs7-signature")
    for name in sorted(files):
        mime = _MIME.get(name.rpartition(".")[2], "application/octet-stream")
        reference = etree.SubElement(root, f"{{{_ASIC}}}DataObjectReference", URI=name, MimeType=mime)
        etree.SubElement(reference, f"{{{_DS}}}DigestMethod", Algorithm=_SHA256_URI)
        digest = etree.SubElement(reference, f"{{{_DS}}}DigestValue")
        digest.text = base64.b64encode(hashlib.sha256(files[name]).digest()).decode()
    return etree.tostring(root, xml_declaration=True, encoding="UTF-8", pretty_print=True)


def _require_files(files: Mapping[str, bytes]) -> None:
    if not files or len(files) > MAX_FILES or sum(map(len, files.values())) > MAX_BYTES:
        raise RequestInvalid(f"a container holds 1 to {MAX_FILES} files and {MAX_BYTES >> 20} MiB")
    if any(not _NAME.fullmatch(name) or name.startswith("META-INF/") or name == "mimetype" for name in files):
        raise RequestInvalid("a file of a container has a plain relative name")


def _zip(files: Mapping[str, bytes]) -> bytes:
    """(EN 319 162-1 A.1) the media type first, stored, so that it can be read at a fixed offset."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as out:
        out.writestr(zipfile.ZipInfo("mimetype", _ZIP_TIME), MIMETYPE)
        for name in sorted(files):
            info = zipfile.ZipInfo(name, _ZIP_TIME)
            info.compress_type = zipfile.ZIP_DEFLATED
            out.writestr(info, files[name])
    return made.getvalue()


# --- CMS (RFC 5652), as far as one ECDSA signer needs it --------------------------------------------------------------

_DATA, _SIGNED_DATA = "1.2.840.113549.1.7.1", "1.2.840.113549.1.7.2"
_CONTENT_TYPE, _DIGEST, _TIME = "1.2.840.113549.1.9.3", "1.2.840.113549.1.9.4", "1.2.840.113549.1.9.5"
_SIGNING_CERTIFICATE = "1.2.840.113549.1.9.16.2.47"
_SHA256, _ECDSA_SHA256 = "2.16.840.1.101.3.4.2.1", "1.2.840.10045.4.3.2"


def _attributes(content: bytes, certificate: x509.Certificate, at: datetime) -> bytes:
    """What is signed: SET OF Attribute (RFC 5652 §5.3, §11; RFC 5035 §3, whose default digest is SHA-256)."""

    def attribute(kind: str, value: bytes) -> bytes:
        return der(SEQUENCE, oid(kind), set_of(value))

    stamp = der(OCTETS, hashlib.sha256(certificate.public_bytes(Encoding.DER)).digest())
    return set_of(
        attribute(_CONTENT_TYPE, oid(_DATA)),
        attribute(_DIGEST, der(OCTETS, hashlib.sha256(content).digest())),
        attribute(_TIME, der(UTC_TIME, f"{at:%y%m%d%H%M%S}Z".encode())),
        attribute(_SIGNING_CERTIFICATE, der(SEQUENCE, der(SEQUENCE, der(SEQUENCE, stamp)))),
    )


def _cms(
    content: bytes, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate, at: datetime
) -> bytes:
    """A detached signature: ContentInfo of SignedData with one signer, named by issuer and serial number."""
    attributes = _attributes(content, certificate, at)
    signature = key.sign(attributes, ec.ECDSA(SHA256(), deterministic_signing=True))
    return _content_info(attributes, signature, certificate)


def _content_info(attributes: bytes, signature: bytes, certificate: x509.Certificate) -> bytes:
    sha256 = der(SEQUENCE, oid(_SHA256))
    signer = der(
        SEQUENCE,
        der(INTEGER, b"\x01"),
        der(SEQUENCE, certificate.issuer.public_bytes(), integer(certificate.serial_number)),
        sha256,
        bytes([CONTEXT_0]) + attributes[1:],  # signed as a SET OF, carried as [0] (RFC 5652 §5.4)
        der(SEQUENCE, oid(_ECDSA_SHA256)),
        der(OCTETS, signature),
    )
    signed_data = der(
        SEQUENCE,
        der(INTEGER, b"\x01"),
        set_of(sha256),
        der(SEQUENCE, oid(_DATA)),
        der(CONTEXT_0, certificate.public_bytes(Encoding.DER)),
        set_of(signer),
    )
    return der(SEQUENCE, oid(_SIGNED_DATA), der(CONTEXT_0, signed_data))


def _certificate(key: ec.EllipticCurvePrivateKey, name: str, at: datetime) -> x509.Certificate:
    """Self-signed: it carries the key, and vouches for nobody. Whose key it is, the directory says."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    serial = int.from_bytes(hashlib.sha256(thumbprint(key.public_key()).encode()).digest()[:16], "big") | 1
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(at - timedelta(hours=1))
        .not_valid_after(at.replace(month=1, day=1, year=at.year + CERTIFICATE_YEARS))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_SIGNING_USAGE, critical=True)
        .sign(key, SHA256(), ecdsa_deterministic=True)
    )


_SIGNING_USAGE = x509.KeyUsage(
    digital_signature=True,
    content_commitment=True,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=False,
    crl_sign=False,
    encipher_only=False,
    decipher_only=False,
)


# --- reading ---------------------------------------------------------------------------------------------------------


def read(container: bytes) -> tuple[dict[str, bytes], tuple[Signature, ...]]:
    """The files of a container and its signatures, each of which holds over every file.

    (1) unzip within limits, plain names, the media type first; (2) each manifest is the one form of these files, no
    file more or less; (3) its signature is the one form of a SignedData of ours, over that manifest, by the key of the
    certificate in it. Raises `MalformedMessage`. Whose key that is, and whether it may sign, is for the caller.
    """
    # (1)
    everything = _unzip(container)
    files = {name: raw for name, raw in everything.items() if not name.startswith("META-INF/")}
    del files["mimetype"]
    numbers = [match[1] for name in sorted(everything) if (match := _MANIFEST.fullmatch(name))]
    if not numbers or len(everything) != len(files) + 1 + 2 * len(numbers):
        raise MalformedMessage("the container is not signed as one of ours is")
    signatures = []
    for number in numbers:
        manifest, name = everything[f"META-INF/ASiCManifest{number}.xml"], f"META-INF/signature{number}.p7s"
        # (2)
        if manifest != _manifest(files, name):
            raise MalformedMessage("a manifest does not name the files as they are")
        # (3)
        signatures.append(_verified(everything.get(name, b""), manifest))
    return files, tuple(signatures)


def _unzip(container: bytes) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    left = MAX_BYTES
    try:
        with zipfile.ZipFile(io.BytesIO(container)) as packed:
            infos = packed.infolist()
            if len(infos) > MAX_FILES + 2 * MAX_SIGNATURES + 1 or infos[0].filename != "mimetype":
                raise MalformedMessage(
                    "the container has too many files, or does not begin with its media type"
                )
            for info in infos:
                with packed.open(info) as file:
                    raw = file.read(left + 1)
                left -= len(raw)
                if left < 0 or info.filename in files or not _NAME.fullmatch(info.filename):
                    raise MalformedMessage(
                        "a file of the container is too large, twice there, or oddly named"
                    )
                files[info.filename] = raw
    except MalformedMessage:
        raise
    except Exception:  # the library has a dozen ways to say that a zip is none
        raise MalformedMessage("this is no container that can be read") from None
    if files["mimetype"] != MIMETYPE:
        raise MalformedMessage("the container is of another media type")
    return files


def _verified(raw: bytes, manifest: bytes) -> Signature:
    """Read a signature by writing it again: what it claims is taken out, and the bytes must come out the same."""
    try:
        certificate, at, signature = _claims(raw)
        attributes = _attributes(manifest, certificate, at)
        key = certificate.public_key()
        if _content_info(attributes, signature, certificate) != raw or not isinstance(
            key, ec.EllipticCurvePublicKey
        ):
            raise MalformedMessage("a signature is not over its manifest, or not of our form")
        key.verify(signature, attributes, ec.ECDSA(SHA256()))
    except (InvalidSignature, ValueError, IndexError, TypeError):
        raise MalformedMessage("a signature does not hold") from None
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    name = str(names[0].value) if names else ""
    return Signature(name, thumbprint(key), at, certificate.public_bytes(Encoding.DER))


def _claims(raw: bytes) -> tuple[x509.Certificate, datetime, bytes]:
    """Certificate, time and signature value of a SignedData, wherever they are: that they stand where they must is seen
    when it is written again."""
    (certificate,) = load_der_pkcs7_certificates(raw)
    *_, time = _TIMES.findall(raw)
    at = datetime.strptime(time.decode("ascii"), "%y%m%d%H%M%SZ").replace(tzinfo=UTC)
    sizes = (size for size in range(8, 0x80) if raw[-size - 2 : -size] == bytes([OCTETS, size]))
    size = next(sizes, 0)
    return certificate, at, raw[len(raw) - size :]
