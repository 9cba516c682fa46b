"""Laws of the guard, and its agreement with the code whose bytes it checks."""

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.errors import GuardRefused
from gateway.model.record import CanonicalRecord
from gateway.wire.ct_json import CtJson, compose
from tests.guard.worlds import ENVELOPE, HANDLING, KINDS, LEVELS, PAYLOAD, World, encode, payload_tree

WORLD = World()
GIVEN = encode(PAYLOAD)
DECISION, RECORDS = WORLD.document(), WORLD.records()

#: Characters that occur in no free text of the release, so that a withheld value of them is found in none.
STRANGE = st.text("qvQV\u4e00\u4e8c", min_size=0, max_size=12)


def test_the_renderer_and_the_guard_agree() -> None:
    """The payload that the wire composes and renders from this release is the one written by hand, and passes."""
    records = [
        (ref, msgspec.json.decode(raw, type=CanonicalRecord), released)
        for ref, raw, released in zip(WORLD.refs, RECORDS, WORLD.released, strict=True)
    ]
    rendered = CtJson().render(compose(ENVELOPE, HANDLING, records, KINDS, LEVELS))
    assert rendered.payload == GIVEN
    assert WORLD.guard(rendered.payload).leaves


@settings(max_examples=100, deadline=None)
@given(at=st.integers(0, len(GIVEN) - 1), change=st.integers(1, 255))
def test_any_changed_byte_is_refused(at: int, change: int) -> None:
    """No single byte of accepted bytes can be another: nothing in them is free to carry a message."""
    flipped = bytearray(GIVEN)
    flipped[at] ^= change
    with pytest.raises(GuardRefused):
        WORLD.guard(bytes(flipped))


@settings(max_examples=60, deadline=None)
@given(at=st.integers(0, len(GIVEN)), more=st.binary(min_size=1, max_size=4))
def test_any_inserted_byte_is_refused(at: int, more: bytes) -> None:
    """Nothing can be put between the bytes, before or after them."""
    with pytest.raises(GuardRefused):
        WORLD.guard(GIVEN[:at] + more + GIVEN[at:])


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    number=STRANGE,
    health=STRANGE,
    aliases=st.lists(STRANGE, max_size=3),
    addresses=st.lists(STRANGE, max_size=3),
    gone=st.sets(st.sampled_from(["national_number", "health", "addresses", "contacts", "minor_children"])),
)
def test_acceptance_tells_nothing_about_what_is_withheld(
    number: str, health: str, aliases: list[str], addresses: list[str], gone: set[str]
) -> None:
    """Two worlds: withheld fields changed, added, removed, lengthened; the same bytes pass, and only they."""
    world = World()
    content = world.contents[0]
    content["national_number"], content["health"] = number, {"text": health}
    content["addresses"] = [{"street": street, "country": "BEL"} for street in addresses]
    names = content["names"]
    content["names"] = [names[0], *({"type": "alias", "text": text} for text in aliases), names[2]]
    last = f"/names/{len(aliases) + 1}"
    world.released[0] = [last if pointer == "/names/2" else pointer for pointer in world.released[0]]
    world.labels[0][last] = world.labels[0].pop("/names/2")
    for member in gone:
        content.pop(member, None)
    assert world.guard(GIVEN).leaves == WORLD.guard(GIVEN).leaves


@settings(max_examples=40, deadline=None)
@given(dropped=st.sampled_from(sorted({*WORLD.released[0]})))
def test_what_is_not_released_never_passes(dropped: str) -> None:
    """Any field taken out of the decision makes the same bytes unacceptable."""
    world = World()
    world.released[0].remove(dropped)
    with pytest.raises(GuardRefused):
        world.guard(GIVEN)


def test_the_payload_is_not_shared() -> None:
    """The copies that tests bend are their own."""
    payload_tree()["records"].clear()
    assert encode(PAYLOAD) == GIVEN
