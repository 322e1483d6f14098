"""The words behind ``verify``."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.errors import UserError

if TYPE_CHECKING:
    from pipeline.bundle import Options

SECONDS_PER_DAY = 24 * 3600
MOST_GB = 2**20
MEASURE = ("measure=", "measure.")
"""What a setting of the timing begins with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyWords:
    """What is verified, and how."""

    folder: Path
    options: Options
    accuracy: str | None
    """DATA as it was typed; None: accuracy is not asked for."""
    speed: bool
    settings: Sequence[str]
    """The settings of DATA and of its metric."""
    measure: Sequence[str]
    """The settings of the timing."""
    folders: Sequence[Path]
    """The user's folders of configurations."""


def verify_words(argv: Sequence[str]) -> VerifyWords:
    """The bundle, and how it is verified; raises UserError for limits that are none, and for settings of what was not
    asked for."""
    from pipeline.bundle import Options

    typed = _parser().parse_intermixed_args(argv)
    if not 0 < typed.timeout <= SECONDS_PER_DAY:
        raise UserError(f"--timeout must be a number of seconds above 0, a day at most (got {typed.timeout})")
    if not 0 < typed.memory_gb < MOST_GB:
        raise UserError(f"--memory-gb must be above 0 and below {MOST_GB} (got {typed.memory_gb})")
    measure = [word for word in typed.settings if word.startswith(MEASURE)]
    settings = [word for word in typed.settings if word not in measure]
    _check_settings(typed, settings, measure)
    return VerifyWords(
        folder=typed.folder,
        options=Options(
            timeout_s=typed.timeout,
            memory_gb=typed.memory_gb,
            run_infer=typed.run_infer,
            key=typed.key,
            require_signature=typed.require_signature,
        ),
        accuracy=typed.accuracy,
        speed=typed.speed,
        settings=settings,
        measure=measure,
        folders=typed.config_dir,
    )


def _check_settings(typed: argparse.Namespace, settings: Sequence[str], measure: Sequence[str]) -> None:
    for word in [*settings, *measure]:
        if "=" not in word:
            raise UserError(f"'{word}' is one too many behind the bundle: a setting is typed KEY=VALUE")
    if settings and typed.accuracy is None:
        raise UserError(f"{settings[0]} sets what the accuracy is measured on: type --accuracy DATA, too")
    if measure and not typed.speed and typed.accuracy is None:
        raise UserError(f"{measure[0]} sets how the speed is measured: type --speed, too")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="slimline verify",
        usage="slimline verify [-h] DIR [--key PUBLIC.pem] [--require-signature] [--accuracy DATA] [--speed] "
        "[--timeout S] [--memory-gb GB] [--run-infer] [--config-dir DIR] [KEY=VALUE ...]",
        description="Let a deploy bundle prove itself here.",
        epilog="KEY=VALUE sets how DATA is read and judged, as behind optimize: data.label_offset=1, metric=f1. "
        "measure=quick takes a shorter look at the speed.",
    )
    parser.add_argument("folder", type=Path, metavar="DIR", help="a bundle, such as outputs/latest/deploy/static_int8")
    parser.add_argument("settings", nargs="*", metavar="KEY=VALUE", help=argparse.SUPPRESS)
    parser.add_argument(
        "--key",
        type=Path,
        metavar="PUBLIC.pem",
        help="check the signature first, with this public key; none is refused",
    )
    parser.add_argument(
        "--require-signature",
        action="store_true",
        help="refuse a bundle without a signature that was checked, so that forgetting the key is no way around it",
    )
    parser.add_argument(
        "--accuracy",
        metavar="DATA",
        help="judge the model on this data, here, and hold the result against the manifest's figure: an .npz file, a "
        "folder of images, a table of texts",
    )
    parser.add_argument(
        "--speed", action="store_true", help="time the model here, and hold the result against the manifest's figure"
    )
    parser.add_argument(
        "--config-dir",
        type=Path,
        action="append",
        default=[],
        metavar="DIR",
        help="a folder with configurations of your own, such as the one of your metric",
    )
    parser.add_argument("--timeout", type=float, default=60.0, metavar="S", help="seconds for each step (default: 60)")
    parser.add_argument(
        "--memory-gb",
        type=float,
        default=4.0,
        metavar="GB",
        help="memory for each step, beside a few times the bundle's size (default: 4)",
    )
    parser.add_argument(
        "--run-infer",
        action="store_true",
        help="run the bundle's own infer.py too, and load a PyTorch bundle's model: only where you trust its source",
    )
    return parser
