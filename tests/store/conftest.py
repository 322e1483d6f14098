"""A server of S3 on this machine, and stores of its own for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.store import StorePlace
from tests.store.serving import COUNT, S3, SERVED, serving


@pytest.fixture(scope="session")
def s3() -> Iterator[S3]:
    """A server with a bucket, and what a user has in the environment."""
    with pytest.MonkeyPatch.context() as patch, serving() as server:
        for name, value in SERVED.items():
            patch.setenv(name, value)
        server.make_bucket()
        yield server


@pytest.fixture
def place(s3: S3, tmp_path: Path) -> StorePlace:
    """A prefix of the bucket that nobody else has used."""
    return s3.place(f"prefix-{next(COUNT)}", tmp_path / "cache")


@pytest.fixture
def memory(tmp_path: Path) -> StorePlace:
    """A store in this process's memory."""
    return StorePlace(folder=tmp_path / "cache", address=f"memory://test-{next(COUNT)}", is_shared=True)
