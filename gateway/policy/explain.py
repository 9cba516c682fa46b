"""Reasons in words, in four languages, looked up only when somebody reads them."""

from functools import cache
from importlib.resources import files

from gateway.errors import RequestInvalid
from gateway.model.decision import FieldOutcome, IdleLift, Reason
from gateway.policy.document import read_document

LANGUAGES = ("fr", "nl", "de", "en")

#: How a rule says that nobody here has read its source in its own text.
UNREAD = "[M]"

_FRAMES = {
    "fr": {
        "unverified": "non vérifié, fixé par configuration",
        "error": "fait illisible : {}",
        "unknown": "règle {} d'une autre version",
        "idle": "« {} » ne débloque rien",
    },
    "nl": {
        "unverified": "niet geverifieerd, bepaald door configuratie",
        "error": "onleesbaar feit: {}",
        "unknown": "regel {} van een andere versie",
        "idle": "“{}” ontgrendelt niets",
    },
    "de": {
        "unverified": "nicht geprüft, durch Konfiguration festgelegt",
        "error": "unlesbare Tatsache: {}",
        "unknown": "Regel {} einer anderen Version",
        "idle": "„{}“ gibt nichts frei",
    },
    "en": {
        "unverified": "unverified, set by configuration",
        "error": "unreadable fact: {}",
        "unknown": "rule {} of another version",
        "idle": '"{}" unlocks nothing',
    },
}

#: The words of a matrix of fields by partner, by the terms of a decision.
_WORDS = {
    "fr": {
        "field": "champ",
        "rule": "règle",
        "released": "transmis",
        "withheld": "retenu",
        "preview": "aperçu",
    },
    "nl": {
        "field": "veld",
        "rule": "regel",
        "source": "bron",
        "article": "artikel",
        "released": "vrijgegeven",
        "withheld": "achtergehouden",
        "preview": "voorbeeld",
    },
    "de": {
        "field": "Feld",
        "rule": "Regel",
        "source": "Quelle",
        "article": "Artikel",
        "released": "freigegeben",
        "withheld": "zurückgehalten",
        "preview": "Vorschau",
    },
    "en": {},
}


def word(term: str, language: str) -> str:
    """A term of a matrix in this language; as it is where the language says the same."""
    return _WORDS[require_language(language)].get(term, term)


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
    return _line(reason, reason.message_id, reason.error, language)


def explain_field(field: FieldOutcome, language: str) -> str:
    """The same of a field's outcome: what the rule that settled it says, released or withheld."""
    return _line(field, field.rule, "", language)


def _line(said: Reason | FieldOutcome, message_id: str, error: str, language: str) -> str:
    frame = _FRAMES[require_language(language)]
    sentence = messages().get(message_id, {}).get(language) or frame["unknown"].format(said.rule)
    source = said.article.removesuffix(UNREAD).rstrip()
    notes = [f"{said.rule}/{said.version}", f"{said.source_kind}: {source}"]
    if source != said.article:
        notes.append(frame["unverified"])
    if said.pointer:
        notes.append(said.pointer)
    if error:
        notes.append(frame["error"].format(error))
    return f"{sentence} ({'; '.join(notes)})"


def explain_rule(rule: str, language: str) -> str:
    """What a rule says, alone: for where it stands beside what it settled."""
    return messages().get(rule, {}).get(language) or _FRAMES[require_language(language)]["unknown"].format(
        rule
    )


def explain_lift(lift: IdleLift, language: str) -> str:
    """That a lift unlocks nothing, and by what the field it names leaves or stays all the same."""
    frame = _FRAMES[require_language(language)]["idle"]
    return f"{frame.format(lift.pointer)}: {explain_rule(lift.rule, language)} ({lift.rule})"
