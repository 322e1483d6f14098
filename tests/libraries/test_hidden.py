"""A hidden library looks as if it were not installed."""

import sys
from importlib.util import find_spec

import pytest

from pipeline.libraries.hidden import hidden


def test_imports_fail_within_the_block_only() -> None:
    import wave as before

    with hidden("wave"):
        with pytest.raises(ModuleNotFoundError, match="No module named 'wave'"):
            import wave  # noqa: F401
        spec = find_spec("wave")
        assert spec is not None
        assert spec.origin is None
    assert sys.modules["wave"] is before


def test_what_was_not_imported_is_not_there_afterwards() -> None:
    sys.modules.pop("chunk_that_is_absent", None)
    with hidden("chunk_that_is_absent"):
        pass
    assert "chunk_that_is_absent" not in sys.modules
