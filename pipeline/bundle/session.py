"""A target's session options in the manifest's form, and which of them a bundle may ask for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pipeline.backends.onnxruntime import OnnxRuntime
from pipeline.backends.onnxruntime.backend import (
    GRAPH_LEVELS,
    PROVIDERS,
    provider_name,
    provider_options,
    session_settings,
)
from pipeline.backends.openvino import OpenVino
from pipeline.backends.openvino.backend import properties as openvino_properties
from pipeline.backends.torch import Torch
from pipeline.backends.torch.backend import session_settings as torch_settings
from pipeline.bundle.slimline_infer.values import printable
from pipeline.errors import Skipped
from pipeline.plan import Target

CONFIG_ENTRIES = frozenset(
    {
        *(f"session.{pool}.{name}" for pool in ("intra_op", "inter_op") for name in (
            "allow_spinning", "spin_duration_us", "spin_backoff_max"
        )),
        "session.force_spinning_stop",
        "session.intra_op_thread_affinities",
        "session.set_denormal_as_zero",
        "session.disable_prepacking",
        "session.disable_quant_qdq",
        "session.disable_double_qdq_remover",
        "session.disable_qdq_constant_folding",
        "session.enable_quant_qdq_cleanup",
        "session.enable_dq_matmulnbits_fusion",
        "session.qdq_matmulnbits_accuracy_level",
        "session.qdqisint8allowed",
        "session.x64quantprecision",
        "session.dynamic_block_base",
        "session.graph_optimizations_loop_level",
        "session.use_device_allocator_for_initializers",
        "session.use_env_allocators",
        "session.disable_cpu_ep_fallback",
        "session.disable_aot_function_inlining",
        "session.strict_shape_type_inference",
        "session.enable_mem_pattern",
        "optimization.enable_gelu_approximation",
        "optimization.enable_cast_chain_elimination",
        "optimization.disable_specified_optimizers",
        "mlas.enable_gemm_fastmath_arm64_bfloat16",
        "mlas.disable_kleidiai",
        "mlas.use_lut_gemm",
        "mlas.qnbit.force_fp32",
    }
)  # fmt: skip
"""The entries of onnxruntime_session_options_config_keys.h that name no file, no library and no address."""
PROVIDER_OPTIONS: Mapping[str, frozenset[str]] = {
    "CPUExecutionProvider": frozenset(),
    "CUDAExecutionProvider": frozenset(
        {
            *("device_id", "use_tf32", "prefer_nhwc", "enable_cuda_graph", "gpu_mem_limit", "arena_extend_strategy"),
            *("cudnn_conv_algo_search", "cudnn_conv_use_max_workspace", "cudnn_conv1d_pad_to_nc1d"),
            *("do_copy_in_default_stream", "tunable_op_enable", "enable_skip_layer_norm_strict_mode", "sdpa_kernel"),
            *("fuse_conv_bias", "use_ep_level_unified_stream"),
        }
    ),
    "TensorrtExecutionProvider": frozenset(
        {
            *("device_id", "trt_fp16_enable", "trt_bf16_enable", "trt_int8_enable", "trt_cuda_graph_enable"),
            *("trt_max_workspace_size", "trt_max_partition_iterations", "trt_min_subgraph_size"),
            *("trt_builder_optimization_level", "trt_auxiliary_streams", "trt_layer_norm_fp32_fallback"),
            *("trt_sparsity_enable", "trt_build_heuristics_enable", "trt_context_memory_sharing_enable"),
            *("trt_profile_min_shapes", "trt_profile_max_shapes", "trt_profile_opt_shapes", "trt_force_timing_cache"),
        }
    ),
    "OpenVINOExecutionProvider": frozenset(
        {"device_type", "precision", "num_of_threads", "num_streams", "disable_dynamic_shapes", "model_priority"}
    ),
}
"""The options of each provider that name no file, no library and no address."""
OPENVINO_PROPERTIES = frozenset(
    {
        *("PERFORMANCE_HINT", "NUM_STREAMS", "INFERENCE_PRECISION_HINT", "ENABLE_CPU_PINNING", "EXECUTION_MODE_HINT"),
        *("SCHEDULING_CORE_TYPE", "ENABLE_HYPER_THREADING", "PERFORMANCE_HINT_NUM_REQUESTS", "PERF_COUNT"),
        *("ENABLE_CPU_RESERVATION", "CPU_DENORMALS_OPTIMIZATION", "DYNAMIC_QUANTIZATION_GROUP_SIZE"),
        *("KV_CACHE_PRECISION", "AFFINITY", "MODEL_DISTRIBUTION_POLICY", "LOG_LEVEL"),
    }
)
"""The properties of the CPU plugin that name no file and no library."""
_VALUE = re.compile(r"[0-9A-Za-z.,;:_ -]{0,256}")
_THREADS = "INFERENCE_NUM_THREADS"
_PRECISIONS = {"f32": "float32", "bf16": "bfloat16", "f16": "float16"}


def session_entry(target: Target) -> dict[str, Any]:
    """The manifest's entry that ``infer.py`` opens its session with.

    Raises Skipped for a target that no bundle runs on, or for an option that ``verify`` would not open a session with.
    """
    entry = _ENTRIES[runtime_of(target)](target)
    refused = refused_options(runtime_of(target), entry)
    if refused:
        raise Skipped(
            f"a deploy bundle can't ask for what may name a file or a library: {', '.join(refused)} of target "
            f"'{target.name}'; for a bundle, leave it out"
        )
    return entry


def runtime_of(target: Target) -> str:
    """The manifest's name for a target's runtime; raises Skipped where no bundle runs on it."""
    name = target.backend.name
    if name not in _ENTRIES:
        raise Skipped(
            f"a deploy bundle runs on {', '.join(_ENTRIES)}, and target '{target.name}' runs on {name}: for a bundle, "
            "recommend among their targets, such as target=[ort_cpu]"
        )
    return name


def refused_options(runtime: str, session: Mapping[str, Any]) -> list[str]:
    """The options of a manifest's session that could name a file, a library or an address, or that are not known."""
    if runtime == Torch.name:
        return []
    if runtime == OpenVino.name:
        return _refused(session["properties"], OPENVINO_PROPERTIES)
    refused = _refused(session["config_entries"], CONFIG_ENTRIES)
    for provider in session["providers"]:
        known = PROVIDER_OPTIONS.get(provider["name"])
        if known is None:
            refused.append(f"the provider {printable(provider['name'])}")
        else:
            refused.extend(_refused(provider["options"], known))
    return refused


def precision_of(runtime: str, session: Mapping[str, Any]) -> str:
    """The type that a session computes in where the model says float32."""
    if runtime == OpenVino.name:
        return _PRECISIONS.get(session["properties"].get("INFERENCE_PRECISION_HINT", "f32"), "float32")
    if runtime == Torch.name:
        return str(session["dtype"] or "float32")
    options = {name: value for provider in session["providers"] for name, value in provider["options"].items()}
    if "INT8" in options.get("precision", "") or options.get("trt_int8_enable") in ("1", "True", "true"):
        return "int8"
    half = options.get("trt_fp16_enable") in ("1", "True", "true") or options.get("precision") == "FP16"
    return "float16" if half or options.get("use_tf32", "0") != "0" else "float32"


def _refused(options: Mapping[str, Any], known: frozenset[str]) -> list[str]:
    return [
        f"{printable(name)}={printable(value)}"
        for name, value in options.items()
        if name not in known or not isinstance(value, (str, int, float, bool)) or not _VALUE.fullmatch(str(value))
    ]


def _onnxruntime(target: Target) -> dict[str, Any]:
    settings = session_settings(target)
    return {
        "intra_op_num_threads": settings["intra_op_num_threads"],
        "inter_op_num_threads": settings["inter_op_num_threads"],
        "execution_mode": f"ORT_{settings['execution_mode'].upper()}",
        "graph_optimization_level": GRAPH_LEVELS[settings["graph_level"]],
        "config_entries": dict(settings["config"]),
        "cpu_mem_arena": settings["memory_arena"],
        "io_binding": settings["io_binding"],
        "providers": [{"name": PROVIDERS[provider_name(target)], "options": provider_options(target)}],
    }


def _openvino(target: Target) -> dict[str, Any]:
    found = openvino_properties(target)
    threads = found.pop(_THREADS)
    return {"device": "CPU", "threads": threads, "properties": found}


def _torch(target: Target) -> dict[str, Any]:
    settings = torch_settings(target)
    if settings.cuda_graph:
        raise Skipped(
            f"a deploy bundle captures no CUDA graph in PyTorch, and target '{target.name}' does: for a bundle, "
            "recommend among targets such as torch_cuda or ort_cuda_graph"
        )
    return {
        "device": target.device,
        "threads": target.threads,
        "compile": settings.compile_mode,
        "channels_last": settings.channels_last,
        "dtype": settings.dtype,
        "tf32": settings.tf32,
    }


_ENTRIES = {OnnxRuntime.name: _onnxruntime, OpenVino.name: _openvino, Torch.name: _torch}
