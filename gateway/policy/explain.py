"""Reasons in words, in four languages, looked up only when somebody reads them."""

from functools import cache
from importlib.resources import files

from gateway.errors import RequestInvalid
from gateway.model.decision import Effect, FieldOutcome, Reason
from gateway.policy.document import read_document

LANGUAGES = ("fr", "nl", "de", "en")

#: How a rule says that nobody here has read its source in its own text.
UNREAD = "[M]"

_FRAMES = {
    "fr": {
        "unverified": "non vérifié, fixé par configuration",
        "error": "fait illisible : {}",
        "unknown": "règle {} d'une autre version",
    },
    "nl": {
        "unverified": "niet geverifieerd, bepaald door configuratie",
        "error": "onleesbaar feit: {}",
        "unknown": "regel {} van een andere versie",
    },
    "de": {
        "unverified": "nicht geprüft, durch Konfiguration festgelegt",
        "error": "unlesbare Tatsache: {}",
        "unknown": "Regel {} einer anderen Version",
    },
    "en": {
        "unverified": "unverified, set by configuration",
        "error": "unreadable fact: {}",
        "unknown": "rule {} of another version",
    },
}


@cache
def messages() -> dict[str, dict[str, str]]:
    """Every explanation: message id -> language -> sentence. Raises `PolicyInvalid` when the file is broken."""
    raw = files("schemas").joinpath("policy/messages.json").read_bytes()
    return read_document(raw, dict[str, dict[str, str]], "message file")


def require_language(language: str) -> str:
    """One of `LANGUAGES`, or `RequestInvalid`."""
    if language not in LANGUAGES:
        raise RequestInvalid("the language of an explanation must be fr, nl, de or en")
    return language


def explain(reason: Reason, language: str) -> str:
    """One line for a person: sentence, rule and version, source, field, and the fact that could not be read.

    ``language`` is one of `LANGUAGES`, else `RequestInvalid`. A message id that this version does not know any more
    still names its rule. The line names pointers and rules, never values.
    """
    frame = _FRAMES[require_language(language)]
    sentence = messages().get(reason.message_id, {}).get(language) or frame["unknown"].format(reason.rule)
    source = reason.article.removesuffix(UNREAD).rstrip()
    notes = [f"{reason.rule}/{reason.version}", f"{reason.source_kind}: {source}"]
    if source != reason.article:
        notes.append(frame["unverified"])
    if reason.pointer:
        notes.append(reason.pointer)
    if reason.error:
        notes.append(frame["error"].format(reason.error))
    return f"{sentence} ({'; '.join(notes)})"


def explain_field(field: FieldOutcome, language: str) -> str:
    """The same of a field's outcome: what the rule that settled it says, released or withheld."""
    effect: Effect = "PERMIT" if field.outcome == "released" else "DENY"
    said = Reason(
        field.rule, field.version, effect, field.source_kind, field.article, field.rule, pointer=field.pointer
    )
    return explain(said, language)
