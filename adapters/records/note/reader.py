"""The two files that notes come in."""

from collections.abc import Callable

from adapters.records.note.lines import NoteLines
from adapters.records.note.mail import NoteMail
from adapters.records.note.record import KIND
from gateway.ports import RecordAdapter

#: By the name under which a file of the type is imported, and its ending.
READERS: dict[str, Callable[[str, str], RecordAdapter]] = {KIND: NoteLines, f"{KIND}/eml": NoteMail}
