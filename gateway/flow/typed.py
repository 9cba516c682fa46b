"""Texts that officers type beside what they do: why, on whose word, on what threat. They stay inside, and are read."""

from __future__ import annotations

import unicodedata

from gateway.errors import RequestInvalid
from gateway.model.request import Emergency, Lift

#: Characters of one such text: some paragraphs. What is longer is a document, and belongs into a record or a file.
MAX_TEXT = 2000

#: Categories of Unicode that no reader sees: controls, formats (the bidirectional ones among them), lone surrogates,
#: and the separators of lines and paragraphs that are no line feed.
_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def require_text(field: str, text: str) -> None:
    """A text that must be there, and as `require_plain`. Raises `RequestInvalid`, naming field and rule."""
    if not text.strip():
        raise fault(field, f"a text of 1 to {MAX_TEXT} characters")
    require_plain(field, text)


def require_plain(field: str, text: str) -> None:
    """A text that may be empty, is no longer than its limit, and reads as it is stored: nothing in it turns the order
    of signs or hides one. Raises `RequestInvalid`, naming field and rule. Not asked here: whether it is true."""
    if len(text) > MAX_TEXT:
        raise fault(field, f"a text of at most {MAX_TEXT} characters")
    if not plain(text):
        raise fault(field, "no control, bidirectional or other unseen characters but line feeds")


def plain(text: str) -> bool:
    """Whether every sign of a text but its line feeds is seen, and where it stands."""
    return all(sign == "\n" or unicodedata.category(sign) not in _UNSEEN for sign in text)


def require_reasons(justification: str, lifts: tuple[Lift, ...], emergency: Emergency | None = None) -> None:
    """Everything that the requester of a release types: a justification (LED art. 25), and reasons whose absence is the
    policy's to deny."""
    require_text("justification", justification)
    for index, lift in enumerate(lifts):
        require_plain(f"lifts[{index}].reason", lift.reason)
    if emergency is not None:
        require_plain("emergency.threat", emergency.threat)


def fault(field: str, rule: str) -> RequestInvalid:
    """What is wrong with a member of a document, and with which."""
    return RequestInvalid(f"{field}: {rule}", diagnostic={"field": field})
