"""Models of timm: by name, with random weights or a checkpoint, or as a folder in timm's format for the hub."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from pipeline.data.preprocessing import Preprocessing
from pipeline.errors import UserError, first_line
from pipeline.errors.names import near
from pipeline.libraries.installed import version
from pipeline.zoo.hub_folder import CONFIG, model_folder, read_object, weight_files
from pipeline.zoo.pictures import Pictures, of_data_config
from pipeline.zoo.source import InputSpec, TorchModel

if TYPE_CHECKING:
    from torch import nn

IMAGE = "image"
_NOTHING: Mapping[str, Any] = MappingProxyType({})
_FACTORY = f"{__name__}.network"
_NEAR = 5
"""Names that are proposed for one that does not exist."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TimmModel:
    """A model of timm's, before it is made."""

    name: str
    """Its name for the report, without a word on its weights."""
    architecture: str
    arguments: Mapping[str, Any]
    """The arguments of ``timm.create_model``."""
    weights: Path | None
    """A state dict; None: the weights are random."""
    config: Mapping[str, Any]
    """timm's ``pretrained_cfg``."""

    @property
    def pictures(self) -> Pictures:
        """The pictures that it reads: ``img_size`` and ``in_chans`` among the arguments win over the configuration."""
        found: Mapping[str, Any] = _timm().data.resolve_data_config(pretrained_cfg=dict(self.config))
        channels, *sides = found["input_size"]
        size = self.arguments.get("img_size", sides)
        sides = [size, size] if isinstance(size, int) else list(size)
        return of_data_config({**found, "input_size": (self.arguments.get("in_chans", channels), *sides)})


def timm_model(
    name: str | None = None,
    path: Path | None = None,
    weights: Path | None = None,
    arguments: Mapping[str, Any] = _NOTHING,
    ignored_weights: tuple[str, ...] = (),
    preprocessing: Mapping[str, Preprocessing] = _NOTHING,
) -> TorchModel:
    """A model by its ``name``, with ``weights`` (a state dict) or random ones, or the folder ``path``.

    ``arguments`` are those of ``timm.create_model``, such as ``num_classes`` and ``img_size``. The input ``image`` has
    the size, mean and deviation of the model's ``pretrained_cfg``, unless ``preprocessing`` tells others. Raises
    UserError where timm is not installed, and where there is no such model.
    """
    chosen = choose(name, path, weights, arguments)
    pictures = chosen.pictures
    return TorchModel(
        name=chosen.name if chosen.weights is not None else f"{chosen.name}_random_weights",
        factory=_FACTORY,
        weights=chosen.weights,
        arguments={"architecture": chosen.architecture, **chosen.arguments},
        inputs={IMAGE: InputSpec(shape=pictures.shape)},
        outputs=("features",) if chosen.arguments.get("num_classes") == 0 else ("logits",),
        ignored_weights=ignored_weights,
        preprocessing=preprocessing or {IMAGE: pictures.preprocessing},
    )


def choose(name: str | None, path: Path | None, weights: Path | None, arguments: Mapping[str, Any]) -> TimmModel:
    """The model of a ``name``, or in the folder ``path``; raises what ``timm_model`` raises."""
    if name is not None and path is None:
        config = asdict(_timm().models.get_pretrained_cfg(_known(name)))
        return TimmModel(name=name, architecture=name, arguments=arguments, weights=weights, config=config)
    if name is not None or path is None:
        raise UserError("model=timm needs one of two: type model.name=resnet18, say, or model.path=FOLDER")
    folder = model_folder(path)
    content = read_object(folder / CONFIG)
    if "architecture" not in content:
        raise UserError(f"{folder / CONFIG} names no architecture of timm's: model=transformers takes other folders")
    classes = {"num_classes": content["num_classes"]} if "num_classes" in content else {}
    return TimmModel(
        name=path.name or folder.name,
        architecture=_known(str(content["architecture"])),
        arguments={**classes, **content.get("model_args", {}), **arguments},
        weights=weights or weight_files(folder)[-1],
        config=content.get("pretrained_cfg", content),
    )


def network(architecture: str, **arguments: Any) -> nn.Module:
    """The network with random weights, and with attention in operators of its own, which exporters, fusions and pruning
    see."""
    timm = _timm()
    timm.layers.set_fused_attn(False)
    made: nn.Module = timm.create_model(architecture, pretrained=False, **arguments)
    return made


def is_timm_folder(folder: Path) -> bool:
    """Whether ``config.json`` names an architecture of timm's."""
    file = folder / CONFIG
    return file.is_file() and "architecture" in read_object(file)


def _known(name: str) -> str:
    timm = _timm()
    if timm.is_model(name):
        return name
    alike = near(name, timm.list_models(), _NEAR)
    advice = f"did you mean {' or '.join(alike)}?" if alike else "timm.list_models() has the names"
    raise UserError(f"timm {version('timm')} has no model '{name}': {advice}")


def _timm() -> Any:
    """timm; raises UserError where it can't be imported."""
    if find_spec("timm") is None:
        raise UserError("models of timm's need the extra 'timm': pip install 'slimline[timm]'")
    try:
        import timm
    except (ImportError, RuntimeError) as error:
        raise UserError(
            f"timm can't be imported ({first_line(error)}): torchvision, which it needs, has to be the build that "
            f"belongs to torch {version('torch')}"
        ) from error
    return timm
