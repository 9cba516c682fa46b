"""A note from an e-mail file: the subject is its title, the text its one fact, and nothing of it is labelled.

An e-mail bears no label that means anything here, so an officer reads the note, and writes it with labels. Read is a
message of plain text alone (RFC 5322, RFC 2045, RFC 2047): no parts, so no attachment, nothing nested. Sender and
addressees are not read: who hands the file over answers for it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import quopri
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from adapters.records.note.record import KIND, Notes
from gateway.errors import RecordInvalid
from gateway.model.record import CanonicalRecord

MAX_FILE_BYTES = 64 * 1024  # bytes; a fact has at most 4000 characters
MAX_HEAD_BYTES = 32 * 1024  # bytes; traces and signatures of relays take some 8 KiB
MAX_HEADERS = 200  # header fields, folded lines not counted
MAX_LINE = 998  # bytes of a line (RFC 5322 §2.1.1)

#: Charsets that are read, by their names in lower case.
CHARSETS = {
    "us-ascii": "ascii", "utf-8": "utf-8", "iso-8859-1": "iso-8859-1", "iso-8859-15": "iso-8859-15",
    "windows-1252": "windows-1252",
}  # fmt: skip

#: Header fields that are read; each may stand once.
_READ = frozenset({
    "subject", "date", "content-type", "content-transfer-encoding", "content-language", "content-disposition",
})  # fmt: skip
_NAME = re.compile(rb"[!-9;-~]{1,64}", re.ASCII)
_TYPE = re.compile(r'text/plain((?:[ ]*;[ ]*[a-z]+=(?:"[^"\\]{1,40}"|[^\s";]{1,40}))*)[ ]*;?', re.ASCII)
_PARAMETER = re.compile(r';[ ]*([a-z]+)="?([^";]+)"?', re.ASCII)
_ENCODED = re.compile(r"=\?([A-Za-z0-9-]{1,20})\?([BbQq])\?([!->@-~]{0,75})\?=", re.ASCII)
_BETWEEN = re.compile(r"(?<=\?=)[ \t]+(?==\?)", re.ASCII)
_LANGUAGE = re.compile(r"[a-z]{2}", re.ASCII)


class NoteMail:
    """Reads one e-mail file. Holds no state between two calls of `read`."""

    kind = KIND

    def __init__(self, origin: str, handed_over_by: str) -> None:
        self._notes = Notes(origin, handed_over_by)

    def read(self, raw: bytes) -> Iterator[CanonicalRecord | RecordInvalid]:
        """The note of the file, unlabelled, or a `RecordInvalid` with the rule that was broken: a JSON Schema keyword
        or ``text.control`` at a pointer of the kind, or ``file.size``, ``mail.head``, ``mail.header``, ``mail.twice``,
        ``mail.date``, ``mail.type``, ``mail.encoding``, ``mail.charset``. It never holds a value. Raises nothing.

        (1) the file and its head are within their limits; (2) each header field is one, and none that is read stands
        twice; (3) the content is plain text of a known charset, and no attachment; (4) it decodes; (5) the kind's own
        checks. Each step is linear in the size of the file.
        """
        try:
            record = self._record(raw)
        except RecordInvalid as fault:
            wrong = (fault.detail, fault.pointer, fault.rule)
        else:
            yield record
            return
        # Made anew, outside of the handler: no traceback or context of it can hold the text.
        yield RecordInvalid(wrong[0], pointer=wrong[1], rule=wrong[2], line=1)

    def _record(self, raw: bytes) -> CanonicalRecord:
        if len(raw) > MAX_FILE_BYTES:  # (1)
            raise RecordInvalid("the e-mail is larger than the limit", rule="file.size")
        unix = raw.replace(b"\r\n", b"\n")
        head, empty, body = unix.partition(b"\n\n")
        if not empty or len(head) > MAX_HEAD_BYTES:
            raise RecordInvalid("the e-mail has no head, or one larger than the limit", rule="mail.head")
        fields = _fields(head)  # (2)
        charset = _charset(fields)  # (3)
        text = _decoded(_transferred(body, fields.get("content-transfer-encoding", "7bit")), charset)  # (4)
        content: dict[str, object] = {
            "title": _subject(fields.get("subject", "")),
            "facts": [{"text": text.replace("\r", "\n").strip()}],
        }
        language = fields.get("content-language", "").lower()
        if _LANGUAGE.fullmatch(language):  # another form says nothing: the officer does
            content["language"] = language
        # An id that any reading of the same bytes finds again; it never leaves.
        number = int(hashlib.sha256(raw).hexdigest()[:15], 16)
        return self._notes.record(f"NOTE-{number}", _written_at(fields.get("date", "")), content)  # (5)


def _fields(head: bytes) -> dict[str, str]:
    """The header fields that are read, unfolded, by lower-case name."""
    unfolded: list[bytes] = []
    for line in head.split(b"\n"):
        if len(line) > MAX_LINE:
            raise RecordInvalid("a line of the head is too long", rule="mail.head")
        if line[:1] in (b" ", b"\t") and unfolded:
            unfolded[-1] += b" " + line.strip()
        elif len(unfolded) == MAX_HEADERS:
            raise RecordInvalid("the head has too many fields", rule="mail.head")
        else:
            unfolded.append(line)
    found: dict[str, str] = {}
    for line in unfolded:
        name, colon, value = line.partition(b":")
        if not colon or not _NAME.fullmatch(name):
            raise RecordInvalid("a line of the head is no header field", rule="mail.header")
        known = name.decode("ascii").lower()
        if known not in _READ:
            continue
        if known in found:
            raise RecordInvalid("a header field stands twice", rule="mail.twice")
        found[known] = _decoded(value.strip(), "utf-8", "mail.header")
    return found


def _charset(fields: dict[str, str]) -> str:
    """The charset of a message of plain text alone; the name of a codec."""
    said = fields.get("content-type", "text/plain").lower()
    form = _TYPE.fullmatch(said)
    if form is None or fields.get("content-disposition", "inline").lower() != "inline":
        raise RecordInvalid("only plain text without attachments is read", rule="mail.type")
    parameters = _PARAMETER.findall(form[1])
    names = [name for name, _ in parameters]
    if len(set(names)) != len(names) or not {*names} <= {"charset", "format", "delsp"}:
        raise RecordInvalid("the type of the e-mail has a parameter that is not read", rule="mail.type")
    return _codec(dict(parameters).get("charset", "us-ascii"))


def _codec(name: str) -> str:
    codec = CHARSETS.get(name.lower())
    if codec is None:
        raise RecordInvalid("the charset of the e-mail is not read", rule="mail.charset")
    return codec


def _transferred(body: bytes, encoding: str) -> bytes:
    """The body without its transfer encoding."""
    match encoding.lower():
        case "7bit" | "8bit":
            return body
        case "quoted-printable":
            return quopri.decodestring(body)
        case "base64":
            return _unbased(body.replace(b"\n", b""))
        case _:
            raise RecordInvalid("the transfer encoding of the e-mail is not read", rule="mail.encoding")


def _unbased(raw: bytes) -> bytes:
    try:
        return base64.b64decode(raw, validate=True)
    except binascii.Error:
        raise RecordInvalid("the e-mail is not in the encoding it says", rule="mail.encoding") from None


def _decoded(raw: bytes, codec: str, rule: str = "mail.charset") -> str:
    try:
        return raw.decode(codec)
    except UnicodeDecodeError:
        raise RecordInvalid("the e-mail is not in the charset it says", rule=rule) from None


def _subject(said: str) -> str:
    """The subject with its encoded words (RFC 2047) read; blanks between two of them are none."""
    return _ENCODED.sub(lambda word: _word(*word.groups()), _BETWEEN.sub("", said))


def _word(charset: str, encoding: str, text: str) -> str:
    raw = text.encode("ascii")
    plain = _unbased(raw) if encoding in "Bb" else quopri.decodestring(raw, header=True)
    return _decoded(plain, _codec(charset))


def _written_at(said: str) -> datetime:
    """The time of the header, whole seconds UTC; one without a zone is no time."""
    try:
        at = parsedate_to_datetime(said)
        if at.tzinfo is None:
            raise ValueError
        return at.astimezone(UTC).replace(microsecond=0)
    except (ValueError, TypeError, OverflowError, IndexError):
        raise RecordInvalid("the e-mail does not say when it was written", rule="mail.date") from None
