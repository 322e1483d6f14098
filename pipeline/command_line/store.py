"""The words behind ``store``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from pipeline.bounds import NotNegative
from pipeline.command_line.arguments import check_flag


def store_options(argv: Sequence[str]) -> argparse.Namespace:
    """What to do with which store; raises UserError for a size that is none."""
    parser = argparse.ArgumentParser(
        prog="slimline store",
        description="What the stages built. An object store that is not Amazon's is named by AWS_ENDPOINT_URL=URL "
        "before the command; what else fsspec's file system takes, by variables such as FSSPEC_S3_ANON=true.",
    )
    parser.add_argument("action", choices=["list", "gc"], help="list the entries, or remove the longest unused")
    parser.add_argument(
        "--path",
        default="models/store",
        help="the store, a folder or an address as s3://… (default: models/store)",
    )
    parser.add_argument("--max-gb", type=float, default=10.0, help="gc: keep at most so much (default: 10)")
    options = parser.parse_args(argv)
    check_flag(options.max_gb, NotNegative, "--max-gb")
    return options
