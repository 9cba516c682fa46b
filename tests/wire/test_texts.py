"""Free texts of a message that was read: each in full, at its place, with the label of its portion."""

from gateway.wire.texts import portions
from tests.wire.test_ct_json import CONTENT, RELEASED, composed


def test_a_message_of_data_holds_no_text() -> None:
    """Codes, names and dates are nobody's own words."""
    assert [*portions(composed())] == []


def test_each_text_is_told_with_its_place_and_label() -> None:
    """A member of a field, and one of an item of a list: where they stand in the payload, whole, each labelled."""
    content = {
        **CONTENT,
        "special": {"kind": "opinion", "text": "invented words"},
        "links": [{"type": "family", "other": "BDC-000009", "note": "invented note"}],
    }
    message = composed((*RELEASED, "/special", "/links/0"), content=content)
    told = [*portions(message)]
    assert {(one.pointer, one.text) for one in told} == {
        ("/records/0/special/text", "invented words"),
        ("/records/0/links/0/note", "invented note"),
    }
    assert all(one.label is not None for one in told)
