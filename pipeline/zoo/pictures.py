"""How a model reads pictures: their size, how they are cut and scaled, and what is done to their numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from pipeline.data.preprocessing import Preprocessing
from pipeline.data.square import Interpolation
from pipeline.errors import UserError

BYTE = 1 / 255
_BICUBIC: Interpolation = "bicubic"
_RESAMPLING: Mapping[int, Interpolation] = {
    0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic", 4: "box", 5: "hamming",
}  # fmt: skip
"""Pillow's numbers, as processors' files have them."""
_SQUEEZED = 384
"""From this size on, a processor with ``crop_pct`` takes the whole image."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pictures:
    """The pictures [N, channels, height, width] that a model reads."""

    channels: int
    height: int
    width: int
    central: float | None
    """The share of the shorter side that is shown; None: the whole image, squeezed."""
    interpolation: Interpolation
    preprocessing: Preprocessing

    @property
    def shape(self) -> tuple[int, int, int]:
        """The sizes without the batch."""
        return self.channels, self.height, self.width

    @property
    def words(self) -> tuple[str, str]:
        """The settings of ``data=images`` that cut and scale pictures in this way."""
        central = "null" if self.central is None else f"{self.central:.6g}"
        return f"data.central={central}", f"data.interpolation={self.interpolation}"


def of_processor(processor: Mapping[str, Any], config: Mapping[str, Any], where: str) -> Pictures:
    """The pictures that a ``preprocessor_config.json`` of transformers describes; ``config`` is the model's.

    Raises UserError, with ``where`` the file is, where it tells no size.
    """
    given = processor.get("size", config.get("image_size"))
    size = given if isinstance(given, Mapping) else {"shortest_edge" if _crops(processor) else "height": given}
    cut = _pair(processor.get("crop_size")) if _crops(processor) else None
    height, width = cut or _pair(size) or (None, None)
    if height is None or width is None:
        raise UserError(f"{where} tells no size of pictures: it needs size or crop_size, in pixels")
    normalized = processor.get("do_normalize", "image_mean" in processor)
    return Pictures(
        channels=int(config.get("num_channels", 3)),
        height=height,
        width=width,
        central=_central(processor, size, height),
        interpolation=_interpolation(processor.get("resample"), where),
        preprocessing=Preprocessing(
            scale=float(processor.get("rescale_factor", BYTE)) if processor.get("do_rescale", True) else 1.0,
            mean=tuple(processor["image_mean"]) if normalized else (0.0,),
            std=tuple(processor["image_std"]) if normalized else (1.0,),
        ),
    )


def of_data_config(config: Mapping[str, Any]) -> Pictures:
    """The pictures that a data configuration of timm describes (``timm.data.resolve_data_config``). Where it has no
    mean for each channel, numbers are only brought to 0 to 1."""
    channels, height, width = config["input_size"]
    normalized = len(config["mean"]) == channels
    return Pictures(
        channels=channels,
        height=height,
        width=width,
        central=None if config["crop_mode"] == "squash" else config["crop_pct"],
        interpolation=_interpolation(config["interpolation"], "timm's pretrained_cfg"),
        preprocessing=Preprocessing(
            scale=BYTE,
            mean=tuple(config["mean"]) if normalized else (0.0,),
            std=tuple(config["std"]) if normalized else (1.0,),
        ),
    )


def _crops(processor: Mapping[str, Any]) -> bool:
    return bool(processor.get("do_center_crop", False))


def _pair(size: object) -> tuple[int, int] | None:
    """Height and width of ``{height, width}``, ``{shortest_edge}`` or a number."""
    if isinstance(size, int):
        return size, size
    if not isinstance(size, Mapping):
        return None
    edge = size.get("shortest_edge") or size.get("height")
    return None if edge is None else (int(size.get("height") or edge), int(size.get("width") or edge))


def _central(processor: Mapping[str, Any], size: Mapping[str, Any], height: int) -> float | None:
    edge = size.get("shortest_edge")
    if not processor.get("do_resize", True):
        return 1.0
    if "crop_pct" in processor:
        return None if height >= _SQUEEZED else float(processor["crop_pct"])
    if _crops(processor):
        return min(1.0, height / int(edge or size.get("height") or height))
    return 1.0 if edge else None


def _interpolation(told: object, where: str) -> Interpolation:
    if told is None:
        return _BICUBIC
    known: Sequence[Interpolation] = get_args(Interpolation)
    name = _RESAMPLING.get(told) if isinstance(told, int) else told
    found = next((way for way in known if way == name), None)
    if found is None and name == "random":  # timm's word for training
        return _BICUBIC
    if found is None:
        raise UserError(f"{where} scales pictures by {told}; available: {', '.join(known)}")
    return found
