"""One authority a module: tests that revoke make their own."""

from pathlib import Path

import pytest

from tests.tls.pki import Pki


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    """A French gateway's authority with one good leaf of each profile."""
    pki = Pki(tmp_path_factory.mktemp("fra"))
    for profile in ("tls-server", "tls-client", "message", "receipt"):
        pki.good(profile)
    return pki


@pytest.fixture
def other(tmp_path: Path) -> Pki:
    """A Belgian gateway's authority, which nobody trusts unless told."""
    pki = Pki(tmp_path / "bel", "bel.ocam")
    for profile in ("tls-server", "tls-client"):
        pki.good(profile)
    return pki
