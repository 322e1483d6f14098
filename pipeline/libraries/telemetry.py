"""Imports libraries that report their use, without what they report with."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

_REPORTER = "openvino_telemetry"


def without_telemetry(library: str) -> Any:
    """Import ``openvino`` or ``nncf``, so that nothing reaches the network.

    On import, and at some calls, both send an event to their maker. Where the package that they send it with is missing
    they use a stub (openvino/tools/ovc/telemetry_utils.py, nncf/telemetry/wrapper.py): it is hidden from this process.
    A library that had been imported before keeps what it has.
    """
    sys.modules.setdefault(_REPORTER, None)  # type: ignore[arg-type]  # so Python marks a module that can't be imported
    return import_module(library)
