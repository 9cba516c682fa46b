"""One founding for all tests of this folder."""

from __future__ import annotations

import pytest

from tests.service.founding import Founded, found


@pytest.fixture(scope="session")
def founded(tmp_path_factory: pytest.TempPathFactory) -> Founded:
    return found(tmp_path_factory.mktemp("founded"))
