"""PyTorch: eager or compiled, on CPU or CUDA."""

from __future__ import annotations

import sysconfig
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from numpy.typing import NDArray

from pipeline.artifact import Artifact, Format
from pipeline.backends.cuda import wake
from pipeline.backends.settings import check_keys, choice, switch, unknown
from pipeline.backends.torch.graph import Graphed, capture
from pipeline.data.dataset import Feed
from pipeline.errors import BackendUnavailable, UserError
from pipeline.plan import Device, Session, Target

if TYPE_CHECKING:
    import torch

COMPILE_MODES = ("default", "reduce-overhead", "max-autotune")
OWN_GRAPHS = ("reduce-overhead", "max-autotune")
"""The modes of torch.compile that capture CUDA graphs by themselves."""
DTYPES = ("float32", "float16", "bfloat16")
SESSION_KEYS = ("compile", "channels_last", "dtype", "tf32", "cuda_graph")
RECOMPILE_LIMIT = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class TorchSettings:
    """A target's ``session`` with defaults filled in."""

    compile_mode: str | None
    """The mode of torch.compile; None: eager."""
    channels_last: bool
    dtype: str | None
    """The type that the model computes in; None: the model's own."""
    tf32: bool
    cuda_graph: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Torch:
    """Runs PyTorch models. Keys of a target's ``session``:

    ``compile`` (false; true or one of torch.compile's modes default, reduce-overhead, max-autotune), ``channels_last``
    (memory format of models with image inputs; false), ``dtype`` (float32, float16, bfloat16: what the model computes
    in, its own types by default; 16-bit outputs are handed back as float32). Only on CUDA: ``tf32`` (whether fp32
    products and convolutions may be computed with 10 bits of mantissa; false, where PyTorch's own default is true for
    convolutions, so that fp32 means fp32), ``cuda_graph`` (a shape's kernels are launched as one, captured at its first
    call; false).
    """

    name: ClassVar[str] = "torch"
    runs: ClassVar[frozenset[Format]] = frozenset({"torch"})
    forkable: ClassVar[bool] = True

    def check(self, target: Target) -> None:
        """Raise BackendUnavailable where CUDA or torch.compile can't be used here; UserError for unknown keys."""
        settings = session_settings(target)
        if target.device == "cuda":
            _check_cuda()
        if settings.compile_mode is not None:
            _check_compiler(target.device)

    def loads_slowly(self, target: Target) -> bool:
        """Whether torch.compile compiles the model, which takes from seconds to minutes each time that it is loaded."""
        return session_settings(target).compile_mode is not None

    def preload(self, target: Target) -> None:
        """Import torch."""
        import torch  # noqa: F401

    def wake(self, target: Target) -> None:
        """Make the process's context on the card."""
        wake(target)

    def load(self, artifact: Artifact, target: Target) -> Session:
        """Load the model onto the target's device; the thread count is the whole process's."""
        self.check(target)
        import torch

        from pipeline.artifact.torch_module import frozen, load_module, load_spec

        settings = session_settings(target)
        torch.set_num_threads(target.threads)
        if target.device == "cuda":
            _allow_tf32(settings.tf32)
        spec = load_spec(artifact.path)
        module = frozen(load_module(artifact.path)).to(target.device)
        if settings.dtype is not None:
            module = module.to(getattr(torch, settings.dtype))
        if settings.channels_last:
            module = module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        run: Callable[..., Any] = module
        if settings.compile_mode is not None:
            run = _compiled(module, settings.compile_mode)
        if settings.cuda_graph:
            run = Graphed(run, capture)
        return TorchSession(run, tuple(entry.name for entry in spec.inputs), target.device, settings)

    def profile(self, artifact: Artifact, target: Target, feed: Feed, calls: int) -> dict[str, Any]:
        """Profile a model, as ``Profiler`` says; on a card its nodes are kernels and copies."""
        from pipeline.backends.torch.profile import profile_session

        return profile_session(self.load(artifact, target), artifact, feed, calls, target.device)


@dataclass(frozen=True, slots=True)
class TorchSession:
    """A loaded model."""

    run: Callable[..., Any]
    inputs: Sequence[str]
    device: Device
    settings: TorchSettings

    def __call__(self, feed: Feed) -> list[NDArray[Any]]:
        """Run one batch; copying the outputs to the host waits for the device."""
        import torch

        from pipeline.artifact.torch_module import as_tensors

        with torch.inference_mode():
            outputs = as_tensors(self.run(*(self._to_device(feed[name]) for name in self.inputs)))
            arrays = [_to_host(output) for output in outputs]
            if self.device == "cuda":
                torch.cuda.synchronize()
        return arrays

    def resident(self, feed: Feed) -> TorchBatch:
        """Copy a batch to the device."""
        return TorchBatch(self.run, [self._to_device(feed[name]) for name in self.inputs], self.device)

    def _to_device(self, array: NDArray[Any]) -> torch.Tensor:
        import torch

        tensor = torch.from_numpy(array).to(self.device)
        if tensor.is_floating_point() and self.settings.dtype is not None:
            tensor = tensor.to(getattr(torch, self.settings.dtype))
        if self.settings.channels_last and tensor.ndim == 4:
            tensor = tensor.to(memory_format=torch.channels_last)
        return tensor


@dataclass(frozen=True, slots=True)
class TorchBatch:
    """A batch that lies on the model's device."""

    run: Callable[..., Any]
    inputs: Sequence[torch.Tensor]
    device: Device

    def enqueue(self) -> None:
        """Ask for one run."""
        import torch

        with torch.inference_mode():
            self.run(*self.inputs)

    def wait(self) -> None:
        """Return once all streams are done."""
        import torch

        if self.device == "cuda":
            torch.cuda.synchronize()


def session_settings(target: Target) -> TorchSettings:
    """The target's session keys with defaults filled in; raises UserError for what doesn't exist."""
    check_keys(target, SESSION_KEYS)
    compile_mode = target.session.get("compile", False)
    if compile_mode is True:
        compile_mode = "default"
    if compile_mode is not False and compile_mode not in COMPILE_MODES:
        raise unknown(target, "compile", compile_mode, ("false", "true", *COMPILE_MODES))
    if target.device != "cuda":
        for key in ("tf32", "cuda_graph"):
            if switch(target, key, False):
                raise UserError(
                    f"target.{target.name}.session.{key}=true is for NVIDIA's cards: leave it out, or take a target "
                    "such as torch_cuda"
                )
    cuda_graph = switch(target, "cuda_graph", False)
    if cuda_graph and compile_mode in OWN_GRAPHS:
        raise UserError(
            f"target.{target.name}.session: compile={compile_mode} captures CUDA graphs by itself: leave out "
            "cuda_graph, or take compile=true"
        )
    return TorchSettings(
        compile_mode=compile_mode or None,
        channels_last=switch(target, "channels_last", False),
        dtype=choice(target, "dtype", "float32", DTYPES) if "dtype" in target.session else None,
        tf32=switch(target, "tf32", False),
        cuda_graph=cuda_graph,
    )


def _to_host(output: torch.Tensor) -> NDArray[Any]:
    import torch

    if output.dtype in (torch.float16, torch.bfloat16):
        output = output.float()
    array: NDArray[Any] = output.cpu().numpy()
    return array


def _compiled(module: torch.nn.Module, mode: str) -> Callable[..., Any]:
    import torch
    import torch._dynamo

    with warnings.catch_warnings():
        # torch's own compiler decorates with the deprecated function when it is imported.
        warnings.filterwarnings("ignore", "`torch.jit.script_method` is deprecated", DeprecationWarning)
        import torch._inductor.compile_fx
    # A graph per batch size, as the sizes are few. Past its limit dynamo would run eager and say nothing.
    torch._dynamo.config.recompile_limit = RECOMPILE_LIMIT
    torch._dynamo.config.fail_on_recompile_limit_hit = True
    compiled: Callable[..., Any] = torch.compile(module, dynamic=False, mode=mode)
    return compiled


def _allow_tf32(allowed: bool) -> None:
    """Allow or forbid TF32 in products and convolutions, in this whole process.

    It uses the older of two interfaces, which PyTorch itself asks and which refuses to answer once the newer has set a
    part.
    """
    import torch

    torch.backends.cuda.matmul.allow_tf32 = allowed
    torch.backends.cudnn.allow_tf32 = allowed


def _check_cuda() -> None:
    import torch

    if torch.version.cuda is None:
        raise BackendUnavailable(f"this torch ({torch.__version__}) is built without CUDA")
    if not torch.cuda.is_available():
        raise BackendUnavailable(f"torch {torch.__version__} (CUDA {torch.version.cuda}) sees no usable NVIDIA GPU")


def _check_compiler(device: Device) -> None:
    if device == "cuda":
        if find_spec("triton") is None:
            raise BackendUnavailable("torch.compile on CUDA needs the package triton, which is not installed")
        return
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.exc import InvalidCxxCompiler

    try:
        get_cpp_compiler()
    except InvalidCxxCompiler as error:
        raise BackendUnavailable("torch.compile on CPU needs a C++ compiler, and none is found: install g++") from error
    include = sysconfig.get_path("include")
    if not (Path(include) / "Python.h").is_file():
        raise BackendUnavailable(
            f"torch.compile on CPU needs Python's C headers, and {include} has no Python.h: install python3-dev"
        )
