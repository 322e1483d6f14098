"""The words behind ``bundle``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from pipeline.errors import UserError


def bundle_options(argv: Sequence[str]) -> argparse.Namespace:
    """Which rows of which run, where to, and what else is made of the bundle; raises UserError where one file or folder
    is named for several rows."""
    parser = argparse.ArgumentParser(
        prog="slimline bundle", description="Write the deploy bundle of any variant of a finished run."
    )
    parser.add_argument("run", type=Path, help="a run's folder, such as outputs/latest")
    parser.add_argument(
        "rows",
        nargs="+",
        metavar="VARIANT",
        help="a variant, or VARIANT@TARGET; without a target the recommended row, or else the variant's fastest",
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="the bundle's folder (default: RUN/deploy/VARIANT)")
    parser.add_argument(
        "--package",
        action="store_true",
        help="one ONNX Runtime model package of all the variants, each for other machines (default: "
        "RUN/deploy/model.ortpackage)",
    )
    parser.add_argument("--ort", action="store_true", help="add the model in ONNX Runtime's own format, for phones")
    parser.add_argument("--zip", type=Path, metavar="FILE", help="write the bundle into a zip file, too")
    parser.add_argument(
        "--oci", type=Path, metavar="DIR", help="write it as an OCI image layout, too, as ORAS reads it"
    )
    parser.add_argument(
        "--hashes",
        type=Path,
        metavar="FOLDER",
        help="a folder with the wheels of what requirements.txt names, whose digests it gets",
    )
    options = parser.parse_args(argv)
    for flag in ("zip", "oci", "ort", "hashes"):
        if options.package and getattr(options, flag):
            raise UserError(f"--{flag} is for a bundle of one model: leave out --{flag} or --package")
    for flag in ("zip", "oci"):
        if getattr(options, flag) and len(options.rows) > 1:
            raise UserError(f"--{flag} takes one bundle, and there are {len(options.rows)}: name one VARIANT")
    return options
