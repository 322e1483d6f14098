"""The bundle's ``requirements.txt``, written from its manifest."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from pipeline.bundle.packages import measured_version, roots
from pipeline.bundle.slimline_infer.values import printable

REQUIREMENTS_FILE = "requirements.txt"
KNOWN = re.compile(
    r"numpy|onnxruntime(-gpu|-openvino)?|openvino(-telemetry)?|torch"
    r"|flatbuffers|packaging|protobuf|sympy|mpmath|coloredlogs|humanfriendly"
    r"|filelock|fsspec|jinja2|markupsafe|networkx|setuptools|typing-extensions|triton"
    r"|cuda-(bindings|pathfinder|toolkit)"
    r"|nvidia-(cublas|cuda-(cupti|nvrtc|runtime)|cudnn|cufft|cufile|curand|cusolver|cusparse|cusparselt"
    r"|nccl|nvjitlink|nvshmem|nvtx)(-cu[0-9]{2})?"
)
"""The packages that the runtimes are known to need. A manifest is not signed, so pip is told to install no other
package that it names."""


def requirements(manifest: Mapping[str, Any]) -> str:
    """The packages in the versions that the figures were taken with, and what is known of them, as comments."""
    lines = [*_where(manifest), *_unpinned(manifest), *_pins(manifest)]
    return "\n".join(lines) + "\n"


def unpinned_roots(manifest: Mapping[str, Any]) -> list[str]:
    """What ``infer.py`` imports, where the manifest does not pin it to the version that the figures were taken with."""
    versions = {package["name"]: package["version"] for package in manifest["packages"]}
    return [
        root for root in roots(manifest) if root not in versions or versions[root] != measured_version(manifest, root)
    ]


def _where(manifest: Mapping[str, Any]) -> Iterator[str]:
    machine = manifest["measured"]["machine"]
    python = f"Python {machine['python']}" if machine.get("python") else "a Python that was not recorded"
    known = [python, *(str(machine[key]) for key in ("os", "architecture") if machine.get(key))]
    yield f"# What the figures were taken with: {printable(', '.join(known))}."
    if manifest["requires_python"]:
        yield f"# These versions need Python {manifest['requires_python']}."


def _unpinned(manifest: Mapping[str, Any]) -> Iterator[str]:
    """What pip chooses a version of by itself, and why."""
    pinned = {package["name"] for package in _known(manifest)}
    needed = {name for package in manifest["packages"] for name in package["requires"] or ()}
    free = sorted((needed | {package["name"] for package in manifest["packages"]}) - pinned)
    if free:
        yield f"# Not pinned, as they were not installed where this was written, or are new: {', '.join(free)}."
    for package in manifest["packages"]:
        if package["requires"] is None:
            yield (
                f"# What {package['name']} needs is not pinned: this was written where another version of it was "
                "installed, or none."
            )
        if "+" in package["version"]:
            yield f"# {package['name']} was {package['version']}, a build that the index of packages does not have."


def _pins(manifest: Mapping[str, Any]) -> Iterator[str]:
    extras = roots(manifest)
    for package in _known(manifest):
        asked = f"[{','.join(extras[package['name']])}]" if extras.get(package["name"]) else ""
        # A local version, such as 2.13.0+cpu, is on no index of packages.
        pin = f"{package['name']}{asked}=={package['version'].partition('+')[0]}"
        yield " \\\n    ".join([pin, *(f"--hash=sha256:{digest}" for digest in package["sha256"])])


def _known(manifest: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [package for package in manifest["packages"] if KNOWN.fullmatch(package["name"])]
