"""Partners: a key serves one use, and a revoked one none."""

from gateway.model.party import Assurance, KeyRecord, Partner

PARTNER = Partner(
    org="fra.police-demo",
    nation="FRA",
    name="Police de démonstration",
    recipient_kind="police",
    keys=(
        KeyRecord("k1", "message", "ES256", "AA"),
        KeyRecord("k2", "message", "ES256", "AA", revoked=True),
        KeyRecord("k3", "receipt", "ES256", "AA"),
    ),
    endpoint="https://police.fr.invalid/exchange/v1",
    tls_name="police.fr.invalid",
    formats=(),
    languages=(),
    assurance=Assurance(),
)


def test_keys_serve_their_own_use() -> None:
    """Only keys of the use that are not revoked; a use without keys has none."""
    assert [key.kid for key in PARTNER.keys_for("message")] == ["k1"]
    assert [key.kid for key in PARTNER.keys_for("receipt")] == ["k3"]
    assert PARTNER.keys_for("encryption") == ()


def test_assurance_starts_from_nothing() -> None:
    """What a transport does not claim it does not give."""
    assert PARTNER.assurance == Assurance(origin_signed=False, end_to_end_encrypted=False, receipt="none")
