"""What all tests share."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from pipeline.contained import RAISING
from pipeline.measure.exclusive import FOLDER

os.environ[RAISING] = "1"  # a fault of our own fails the test instead of becoming a part's reason


@pytest.fixture(autouse=True, scope="session")
def _measuring_lock_of_its_own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Tests time nothing that counts, so they wait for no run on this machine, and none waits for them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(FOLDER, str(tmp_path_factory.mktemp("locks")))
        yield
