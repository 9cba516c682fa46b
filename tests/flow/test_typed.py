"""What officers type beside what they do: it says something, ends somewhere, and reads as it is stored."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.cli.shared import visible
from gateway.errors import RequestInvalid
from gateway.flow.typed import MAX_TEXT, require_plain, require_reasons, require_text
from gateway.model.request import Emergency, Lift

#: By name, a text that is not as it looks.
UNSEEN = {
    "right-to-left override": "paid\u202eon",
    "isolate": "\u2067invented\u2069",
    "Arabic letter mark": "a\u061cb",
    "zero-width space": "a\u200bb",
    "line separator": "a\u2028b",
    "paragraph separator": "a\u2029b",
    "carriage return": "a\rb",
    "escape": "\x1b[2J",
    "tab": "a\tb",
    "NUL": "a\x00b",
    "next line": "a\x85b",
}


@pytest.mark.parametrize("name", UNSEEN)
@pytest.mark.parametrize("ask", [require_text, require_plain])
def test_what_nobody_sees_is_refused(ask: object, name: str) -> None:
    """Field and rule are named; the text itself is not repeated."""
    with pytest.raises(RequestInvalid) as caught:
        ask("reason", UNSEEN[name])  # type: ignore[operator]
    assert caught.value.diagnostic == {"field": "reason"}
    assert caught.value.detail.startswith("reason: no control, bidirectional")
    assert UNSEEN[name] not in caught.value.detail


@pytest.mark.parametrize("text", ["", " ", "\n \n", "\u00a0"])
def test_a_text_that_must_be_there_says_something(text: str) -> None:
    """Spaces alone say nothing; where a text may be empty, it may be blank."""
    with pytest.raises(RequestInvalid, match="reason: a text of 1 to 2000 characters"):
        require_text("reason", text)
    require_plain("reason", text)


def test_the_limit_is_in_characters_and_the_last_one_counts() -> None:
    """However many bytes they take."""
    require_text("reason", "é" * MAX_TEXT)
    for ask in (require_text, require_plain):
        with pytest.raises(RequestInvalid, match="at most 2000 characters"):
            ask("reason", "x" * (MAX_TEXT + 1))


@given(st.text(max_size=40))
def test_what_is_taken_is_shown_as_it_is(text: str) -> None:
    """A terminal spells out what cannot be seen; of a text that was taken there is nothing to spell out."""
    try:
        require_plain("reason", text)
    except RequestInvalid:
        assert any(unicodedata.category(sign)[0] in "CZ" for sign in text)
    else:
        assert visible(text) == text


def test_each_text_of_a_release_is_named_where_it_stands() -> None:
    """The justification must be there; of reasons and threats the policy says what their absence does."""
    require_reasons("why", (Lift("/sex", ""),), Emergency(""))
    for arguments, field in (
        ((" ", ()), "justification"),
        (("why", (Lift("/sex", "why"), Lift("/sex", "\u202e"))), "lifts[1].reason"),
        (("why", (), Emergency("\u202e")), "emergency.threat"),
    ):
        with pytest.raises(RequestInvalid) as caught:
            require_reasons(*arguments)
        assert caught.value.diagnostic == {"field": field}
