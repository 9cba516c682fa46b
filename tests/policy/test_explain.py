"""Explanations: every reason in four languages, one line, with its source and what was not read."""

import msgspec
import pytest

from gateway.errors import PolicyInvalid, RequestInvalid
from gateway.flow.correction import REASONS as CORRECTION
from gateway.flow.lifts import REASONS as LIFTS
from gateway.flow.offer import REASONS as OFFER
from gateway.flow.outbound import REASONS as VOID
from gateway.flow.recall import REASONS as RECALL
from gateway.flow.reply import REASONS as REPLY
from gateway.model.decision import IdleLift, Reason
from gateway.policy.decide import SILENCE, decide
from gateway.policy.document import read_document
from gateway.policy.explain import (
    LANGUAGES,
    explain,
    explain_field,
    explain_lift,
    explain_rule,
    messages,
    word,
)
from gateway.policy.redact import UNSETTLED
from tests.policy.worlds import FUSION_CENTRE, POLICY, world


@pytest.fixture(scope="module")
def reason() -> Reason:
    """Why a fusion centre gets nothing."""
    return decide(POLICY, world(FUSION_CENTRE)).reasons[0]


def test_every_rule_has_a_sentence_in_four_languages() -> None:
    """No message is missing or left over, and no two languages share their sentence."""
    wanted = {rule.message_id for rule in POLICY.rules} | {SILENCE.message_id, UNSETTLED.message_id}
    wanted |= set(RECALL) | set(CORRECTION) | set(OFFER) | set(REPLY) | set(VOID) | set(LIFTS)
    assert set(messages()) == wanted
    for sentences in messages().values():
        assert tuple(sentences) == LANGUAGES
        assert len(set(sentences.values())) == len(LANGUAGES)
        assert all(text and not text.endswith(".") and "\n" not in text for text in sentences.values())


@pytest.mark.parametrize(
    ("language", "start"),
    [
        ("fr", "La loi ne désigne pas"),
        ("nl", "De wet noemt"),
        ("de", "Das Gesetz nennt"),
        ("en", "The law names no"),
    ],
)
def test_the_fusion_centre_is_told_why(language: str, start: str, reason: Reason) -> None:
    """Sentence, rule, version and article stand in one line."""
    line = explain(reason, language)
    assert line.startswith(start)
    assert line.endswith("(bdc.recipient/1; law: law 29.3.2024 art. 28)")


def test_an_unread_source_is_called_unverified(reason: Reason) -> None:
    """A rule from memory says so; one that was read does not."""
    decision = decide(POLICY, world({"labels.*.label.tlp": "RED"}))
    line = explain(decision.reasons[0], "en")
    assert "unverified, set by configuration" in line
    assert "[M]" not in line
    assert "non vérifié" in explain(decision.reasons[0], "fr")
    assert "unverified" not in explain(reason, "en")


def test_field_and_failing_fact_are_named() -> None:
    """A reason about a field names its pointer; one about a fact that could not be read names the fact."""
    decision = decide(POLICY, world({"settings.channel_ceiling": None}))
    assert explain(decision.reasons[0], "nl").endswith("; /category; onleesbaar feit: channel.ceiling)")


def test_a_reason_of_another_version_still_names_its_rule(reason: Reason) -> None:
    """A message id that is gone leaves the rule and its source."""
    old = msgspec.structs.replace(reason, message_id="gone", rule="bdc.former")
    assert explain(old, "de").startswith("Regel bdc.former einer anderen Version (bdc.former/1;")


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_field_a_rule_and_a_lift_are_told_in_the_language(language: str) -> None:
    """A field's outcome like a reason; a rule alone by its sentence, and an unknown one by its name; an idle lift with
    what settles its field all the same; the words of a matrix."""
    field = next(one for one in decide(POLICY, world()).fields if one.rule == "class.X")
    sentence = messages()["class.X"][language]
    assert explain_field(field, language).startswith(f"{sentence} (class.X/")
    assert explain_rule("class.X", language) == sentence
    assert "no.such-rule" in explain_rule("no.such-rule", language)
    told = explain_lift(IdleLift("/health", "class.X"), language)
    assert "/health" in told
    assert told.endswith(f"{sentence} (class.X)")
    assert (word("withheld", language) == "withheld") is (language == "en")
    assert word("no such term", language) == "no such term"


def test_an_unknown_language_is_refused(reason: Reason) -> None:
    """Nothing is shown in a language nobody asked for."""
    with pytest.raises(RequestInvalid):
        explain(reason, "es")


def test_a_message_file_of_another_shape_is_refused() -> None:
    """A sentence that is no text does not load."""
    with pytest.raises(PolicyInvalid):
        read_document(b'{"embargo": {"fr": 1}}', dict[str, dict[str, str]], "message file")
