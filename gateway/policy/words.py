"""A rule's tree in words, in the four languages of the explanations: lines for people, facts by their names.

The third reader of the tree beside the compiled rule and the proof, and built from the tree alone: what is shown is
what decides.
"""

from gateway.errors import PolicyInvalid
from gateway.policy.explain import require_language
from gateway.policy.expr import (
    All,
    Any_,
    Binary,
    Const,
    Eq,
    Fact,
    Ge,
    Gt,
    In,
    Intersects,
    Known,
    Le,
    Lt,
    Ne,
    Node,
    Not,
    Subset,
)
from gateway.policy.facts import Value

#: Spaces by which what belongs to a line stands under it.
INDENT = 2

_COMPARED: dict[type[Binary], dict[str, str]] = {
    Eq: {"fr": "{} est {}", "nl": "{} is {}", "de": "{} ist {}", "en": "{} is {}"},
    Ne: {"fr": "{} n'est pas {}", "nl": "{} is niet {}", "de": "{} ist nicht {}", "en": "{} is not {}"},
    Lt: {"fr": "{} < {}", "nl": "{} < {}", "de": "{} < {}", "en": "{} < {}"},
    Le: {"fr": "{} ≤ {}", "nl": "{} ≤ {}", "de": "{} ≤ {}", "en": "{} ≤ {}"},
    Gt: {"fr": "{} > {}", "nl": "{} > {}", "de": "{} > {}", "en": "{} > {}"},
    Ge: {"fr": "{} ≥ {}", "nl": "{} ≥ {}", "de": "{} ≥ {}", "en": "{} ≥ {}"},
    In: {"fr": "{} est parmi {}", "nl": "{} staat in {}", "de": "{} ist in {}", "en": "{} is among {}"},
    Subset: {
        "fr": "{} est entièrement dans {}",
        "nl": "{} ligt geheel in {}",
        "de": "{} liegt ganz in {}",
        "en": "{} lies wholly in {}",
    },
    Intersects: {
        "fr": "{} a un élément de {}",
        "nl": "{} heeft iets gemeen met {}",
        "de": "{} hat etwas gemein mit {}",
        "en": "{} shares something with {}",
    },
}

_SAID = {
    "fr": {
        "all": "tout ceci :",
        "any": "un de ceux-ci au moins :",
        "not": "pas ceci :",
        "known": "{} est connu",
        "unknown": "{} est inconnu",
        "holds": "{}",
        "fails": "pas {}",
        "true": "toujours",
        "false": "jamais",
    },
    "nl": {
        "all": "al het volgende:",
        "any": "minstens een van deze:",
        "not": "niet dit:",
        "known": "{} is bekend",
        "unknown": "{} is onbekend",
        "holds": "{}",
        "fails": "niet {}",
        "true": "altijd",
        "false": "nooit",
    },
    "de": {
        "all": "alles davon:",
        "any": "mindestens eines davon:",
        "not": "nicht dies:",
        "known": "{} ist bekannt",
        "unknown": "{} ist unbekannt",
        "holds": "{}",
        "fails": "nicht {}",
        "true": "immer",
        "false": "nie",
    },
    "en": {
        "all": "all of these:",
        "any": "at least one of these:",
        "not": "not this:",
        "known": "{} is known",
        "unknown": "{} is unknown",
        "holds": "{}",
        "fails": "not {}",
        "true": "always",
        "false": "never",
    },
}


def words(node: Node, language: str) -> tuple[str, ...]:
    """The tree as lines, what belongs together indented. ``language`` as in `explain`, else `RequestInvalid`."""
    return tuple(_lines(node, require_language(language)))


def _lines(node: Node, language: str) -> list[str]:
    said = _SAID[language]
    match node:
        case Const(value=bool() as value):
            return [said["true" if value else "false"]]
        case Fact(spec=spec):
            return [said["holds"].format(spec.name)]
        case Known(spec=spec):
            return [said["known"].format(spec.name)]
        case Not(operand=Known(spec=spec)):
            return [said["unknown"].format(spec.name)]
        case Not(operand=Fact(spec=spec)):
            return [said["fails"].format(spec.name)]
        case Not(operand=operand):
            return [said["not"], *_below(operand, language)]
        case All(operands=operands) | Any_(operands=operands):
            head = said["all" if isinstance(node, All) else "any"]
            return [head, *(line for operand in operands for line in _below(operand, language))]
        case Binary(left=left, right=right):
            return [
                _COMPARED[type(node)][language].format(_operand(left, language), _operand(right, language))
            ]
        case _:
            raise PolicyInvalid("a node of an unknown kind cannot be said")


def _below(node: Node, language: str) -> list[str]:
    return [" " * INDENT + line for line in _lines(node, language)]


def _operand(node: Node, language: str) -> str:
    match node:
        case Const(value=value):
            return _value(value)
        case Fact(spec=spec):
            return spec.name
        case _:
            return f"({' '.join(line.strip() for line in _lines(node, language))})"


def _value(value: Value) -> str:
    if isinstance(value, frozenset):
        return f"{{{', '.join(sorted(value))}}}"
    return f"“{value}”" if isinstance(value, str) else str(value)
