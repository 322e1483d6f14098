"""What is typed behind ``bundle``."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.command_line.bundle import bundle_options
from pipeline.errors import UserError


def test_a_bundle_is_packed_where_it_is_asked_for() -> None:
    options = bundle_options(["run", "static_int8", "--zip", "a.zip", "--hashes", "wheels"])
    assert (options.zip, options.oci, options.hashes) == (Path("a.zip"), None, Path("wheels"))


@pytest.mark.parametrize("flag", ["zip", "oci"])
def test_one_file_does_not_hold_two_bundles(flag: str) -> None:
    with pytest.raises(UserError, match=f"--{flag} takes one bundle, and there are 2: name one VARIANT"):
        bundle_options(["run", "pruned", "static_int8", f"--{flag}", "out"])
