"""A folder that transformers' ``save_pretrained`` wrote, as the origin of a baseline."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pipeline.artifact import Format, file_digest
from pipeline.data.preprocessing import Preprocessing
from pipeline.data.tokens import LENGTH
from pipeline.plan import InputSignature
from pipeline.zoo.hub_folder import weight_files
from pipeline.zoo.transformers_folder import OUTPUTS, Task, TransformersFolder

if TYPE_CHECKING:
    from pipeline.artifact.torch_module import ModelInput, ModelSpec

PIXELS = "pixel_values"
_MOST = 2**20
"""The tokens of a text at most, where the model has no limit."""
_FACTORY = "pipeline.zoo.transformers_network.network"


@dataclass(frozen=True, slots=True, kw_only=True)
class TransformersModel:
    """A classifier of texts, tokens or images, an encoder, or a model of sentence-transformers, in float32.

    Its inputs have transformers' names. The number of a text's tokens is free.
    """

    path: Path
    """The folder, or the name of a hub's model that this machine has a copy of. Nothing is downloaded."""
    task: Task | None = None
    """What the model does; None: ``modules.json`` or the ``architectures`` of ``config.json`` tell."""
    format: ClassVar[Format] = "torch"

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.path.name or self.path.resolve().name

    @property
    def factory(self) -> str:
        """The class that the folder names."""
        return f"transformers.{(self.folder.config.get('architectures') or ['AutoModel'])[0]}"

    @property
    def weights(self) -> Path:
        """The file of the weights, or the index of several."""
        return weight_files(self.folder.base)[-1]

    @property
    def beside(self) -> Path:
        """The folder with the tokenizer."""
        return self.folder.base

    @property
    def preprocessing(self) -> Mapping[str, Preprocessing]:
        """What the folder's image processor does to the numbers of pictures; nothing for texts."""
        pictures = self.folder.pictures
        return {} if pictures is None else {PIXELS: pictures.preprocessing}

    def key(self) -> Mapping[str, Any]:
        """The network's description and code, and the digests of the weights."""
        from pipeline.artifact.torch_module import code_of

        spec = self._spec()
        weights = {file.name: file_digest(file) for file in weight_files(self.folder.base)}
        return {"spec": asdict(spec), "code": code_of(spec), "weights": weights}

    def signature(self) -> Mapping[str, InputSignature]:
        """The inputs; raises UserError where the folder does not tell them."""
        folder = self.folder
        return {
            entry.name: InputSignature(
                entry.sizes, entry.dtype, below=folder.below.get(entry.name), longest=entry.longest
            )
            for entry in _inputs(folder)
        }

    def write(self, out: Path) -> Mapping[str, Any]:
        """Make the network, fill it with the folder's weights and write it; returns the ``warnings``, where there are
        any.

        Raises UserError where transformers is not installed, and where the weights don't fit.
        """
        from pipeline.artifact.torch_module import make_module
        from pipeline.zoo.transformers_network import load_pretrained
        from pipeline.zoo.trial import write_checked

        folder, spec = self.folder, self._spec()
        module = make_module(spec)
        return write_checked(module, spec, out, load_pretrained(module, folder.base, folder.task(self.task)))

    @property
    def folder(self) -> TransformersFolder:
        """What the folder's files tell."""
        return TransformersFolder(given=self.path)

    def _spec(self) -> ModelSpec:
        from pipeline.artifact.torch_module import ModelSpec

        folder = self.folder
        task = folder.task(self.task)
        pooled = asdict(folder.embedding) if task == "embedding" else {}
        return ModelSpec(
            factory={"_target_": _FACTORY, "config": dict(folder.network), "task": task, **pooled},
            inputs=tuple(_inputs(folder)),
            outputs=(OUTPUTS[task],),
        )


def _inputs(folder: TransformersFolder) -> Iterator[ModelInput]:
    from pipeline.artifact.torch_module import ModelInput

    if folder.pictures is not None:
        yield ModelInput(name=PIXELS, shape=folder.pictures.shape)
        return
    longest = folder.longest or _MOST
    for name in folder.below:
        yield ModelInput(name=name, shape=(min(LENGTH, longest),), dtype="int64", longest=longest)
