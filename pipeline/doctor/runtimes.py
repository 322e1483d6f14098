"""Finds which runtimes are installed, and what these lack to run."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from pathlib import Path

from pipeline.artifact import Artifact
from pipeline.backends.onnxruntime.libraries import CUDA, own_library, why_unloadable
from pipeline.data.dataset import Feed
from pipeline.doctor.findings import Finding
from pipeline.errors import Skipped, WorkerFailed, first_line
from pipeline.libraries.installed import version
from pipeline.measure.workers.start import alone
from pipeline.measure.workers.worker import Job, Load
from pipeline.plan import Target

_CPU = "CPUExecutionProvider"
_REMOTE = "AzureExecutionProvider"
_OTHERS = (
    *("tensorrt", "tensorflow", "tflite-runtime", "ai-edge-litert", "executorch", "apache-tvm"),
    *("iree-base-runtime", "ncnn", "MNN", "paddlepaddle", "jax", "llama-cpp-python"),
)


def onnxruntime_findings(gpus: Sequence[str]) -> list[Finding]:
    """ONNX Runtime and each execution provider of its build. It imports onnxruntime, and torch for its CUDA
    libraries."""
    try:
        import onnxruntime
    except ImportError as error:
        advice = "pip install onnxruntime, or onnxruntime-gpu for NVIDIA GPUs"
        return [Finding(topic="onnxruntime", level="warning", text=first_line(error), advice=advice)]
    providers: list[str] = onnxruntime.get_available_providers()
    found = [Finding(topic="onnxruntime", level="ok", text=f"{onnxruntime.__version__}, {', '.join(providers)}")]
    libraries = Path(onnxruntime.__file__).parent / "capi"
    found += [provider_finding(name, libraries) for name in providers if name not in (_CPU, _REMOTE)]
    if gpus and CUDA not in providers:
        text = "there is an NVIDIA GPU, and this build of onnxruntime can't use it"
        advice = "install the extra 'gpu' instead of 'cpu' (make run EXTRAS=gpu)"
        found.append(Finding(topic=CUDA, level="warning", text=text, advice=advice))
    return found


def provider_finding(provider: str, libraries: Path, load: Callable[[str], object] = ctypes.CDLL) -> Finding:
    """Whether a provider's library, and all libraries that it needs, can be loaded from the folder ``libraries``."""
    if own_library(provider, libraries) is None:
        return Finding(topic=provider, level="ok", text="part of this build of onnxruntime")
    missing = why_unloadable(provider, libraries, load)
    if missing is not None:
        advice = "install the library that it names, in the version that this onnxruntime was built with"
        if provider == CUDA:
            advice = "install the CUDA and cuDNN that it wants, such as by pip install 'onnxruntime-gpu[cuda,cudnn]'"
        return Finding(topic=provider, level="warning", text=f"its library can't be loaded: {missing}", advice=advice)
    return Finding(topic=provider, level="ok", text="its library and all that it needs can be loaded")


def session_finding(artifact: Artifact, target: Target, feed: Feed) -> Finding:
    """Whether a target runs a model, tried in a process of its own."""
    topic = f"session on {target.device}"
    try:
        with alone(Job(artifact=artifact, target=target, feed=feed)) as worker:
            worker.ask(Load(calls=1, warmup_ns=0))
    except (WorkerFailed, Skipped) as error:
        advice = "the lines about onnxruntime and the GPU say what is missing"
        return Finding(topic=topic, level="warning", text=str(error), advice=advice)
    return Finding(topic=topic, level="ok", text="a model was loaded and run")


def torch_finding(gpus: Sequence[str]) -> Finding:
    """PyTorch, and whether it can use a GPU. It imports torch."""
    import torch

    if torch.version.cuda is None:
        text = f"{torch.__version__}, built without CUDA"
        if not gpus:
            return Finding(topic="torch", level="ok", text=text)
        advice = "install a torch for a CUDA that the driver knows: https://pytorch.org/get-started/locally"
        return Finding(topic="torch", level="warning", text=f"{text}, but there is an NVIDIA GPU", advice=advice)
    if torch.cuda.is_available():
        return Finding(topic="torch", level="ok", text=f"{torch.__version__}, CUDA {torch.version.cuda} can be used")
    text = f"{torch.__version__}, CUDA {torch.version.cuda}, sees no usable GPU"
    if not gpus:
        return Finding(topic="torch", level="note", text=text)
    advice = (
        "update the driver, or install a torch for an older CUDA: nvidia-smi shows the newest that the driver knows"
    )
    return Finding(topic="torch", level="warning", text=text, advice=advice)


def openvino_finding() -> Finding:
    """OpenVINO, and NNCF, which quantizes for it."""
    found, quantizer = version("openvino"), version("nncf")
    if found is None:
        advice = "install the extra 'openvino' (pip install openvino nncf)"
        return Finding(topic="openvino", level="note", text="not installed: its rows are skipped", advice=advice)
    if quantizer is None:
        text = f"{found}, without NNCF: the stage quantize_nncf is skipped"
        return Finding(topic="openvino", level="note", text=text, advice="pip install nncf")
    return Finding(topic="openvino", level="ok", text=f"{found}, with NNCF {quantizer}")


def other_runtimes() -> Finding:
    """Other inference runtimes that this Python has."""
    found = [f"{name} {installed}" for name in _OTHERS if (installed := version(name)) is not None]
    return Finding(topic="other runtimes", level="note", text=", ".join(found) or "none installed")
