"""The machine that a kit was run on, from what its system told there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.machine.environment import field_of, isa_in, name_of_os, virtualized_by
from pipeline.results.header import Machine


def machine_of(told: Mapping[str, Any]) -> Machine:
    """The record's machine; what the device did not tell is None."""
    cpuinfo = str(told["cpuinfo"])
    no_turbo, boost = told["no_turbo"], told["boost"]
    named = (field_of(cpuinfo, "model name"), told["board"], field_of(cpuinfo, "Hardware"), told["processor"])
    return Machine(
        cpu=next((str(name) for name in named if name), None),
        isa=sorted(isa_in(cpuinfo)),
        cores=told["cores"],
        memory_bytes=told["memory_bytes"],
        os=name_of_os(told["os_release"]) or told["system"],
        kernel=told["kernel"],
        architecture=told["architecture"],
        virtualized=virtualized_by(cpuinfo),
        governor=told["governor"],
        turbo=no_turbo == "0" if no_turbo is not None else None if boost is None else boost == "1",
        python=told["python"],
        libraries={str(name): str(version) for name, version in told["libraries"].items()},
    )
