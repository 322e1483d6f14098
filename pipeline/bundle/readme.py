"""The bundle's ``README.md``, written from its manifest: whatever names are in it, they are no markup."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pipeline.bundle.fence import code, prose
from pipeline.bundle.slimline_infer.values import printable

_RUNTIMES = {"onnxruntime": "ONNX Runtime", "openvino": "OpenVINO", "torch": "PyTorch"}
_KINDS = {
    "model.onnx": "The ONNX model",
    "model.xml": "The OpenVINO model (its constants are in `model.bin`)",
    "program.pt2": "The PyTorch program",
}


def readme(manifest: Mapping[str, Any]) -> str:
    """The text: what the folder is, how to run it, what was measured, and how far to trust it."""
    sections = [_head(manifest), _how_to_run(manifest), _how_to_serve(manifest), _figures(manifest), _trust(manifest)]
    return "\n\n".join(sections) + "\n"


def _head(manifest: Mapping[str, Any]) -> str:
    provenance, maker = manifest["provenance"], manifest["slimline"]
    chain = " → ".join(f"{code(stage['name'])} ({prose(stage['kind'])})" for stage in provenance["stages"])
    commit = f" (commit {code(maker['commit'])})" if maker["commit"] else ""
    return (
        f"# {prose(manifest['name'])}\n\n"
        f"{_KINDS[manifest['model']]} `{manifest['model']}`, made from {code(provenance['model'])} by: "
        f"{chain or 'as it was given'}.\n"
        f"Its sha256 is `{manifest['sha256']}`.\n"
        f"Built and measured by slimline {prose(maker['version'])}{commit} on {prose(manifest['created'])}; "
        f"data: {code(provenance['data'])}.\n\n"
        f"Why this variant: {prose(manifest['why'])}"
    )


def _how_to_run(manifest: Mapping[str, Any]) -> str:
    inputs = "\n".join(f"- {code(entry['name'])}: {_input(entry)}" for entry in manifest["inputs"])
    arrays = ", ".join(
        f"{_quoted(entry['name'])}: {_variable(index)}" for index, entry in enumerate(manifest["inputs"])
    )
    result = "labels" if manifest["labels"] else "classes"
    images = (
        "python infer.py IMAGES FOLDER  # images, or a folder of them (needs Pillow)\n"
        if manifest["inputs"][0]["image"]
        else ""
    )
    cuda = (
        "\nThe CUDA provider needs an NVIDIA driver; the requirements install its CUDA and cuDNN libraries.\n"
        if _needs_cuda(manifest)
        else ""
    )
    return f"""## Run it

```
python -m pip install -r requirements.txt
python infer.py                # the golden inputs: are the golden outputs reproduced?
python infer.py FILE.npz       # your arrays [N, ...], one per input name; --json and --top K: all scores
{images}```
```python
from infer import Model

model = Model()
outputs = model({{{arrays}}})   # every output by name
{result} = model.predict({{{arrays}}})
```
{cuda}
It runs on {_RUNTIMES[manifest["runtime"]]}. Inputs are raw values; `infer.py` preprocesses them as the manifest says:

{inputs}

{_batches(manifest)}
Importing `infer` leaves `__pycache__` folders behind (not with `python -B`), and `verify` refuses them: remove them.\
{_program(manifest)}"""


def _how_to_serve(manifest: Mapping[str, Any]) -> str:
    size = next((entry["shape"][0] for entry in manifest["inputs"] if entry["shape"]), None)
    waiting = (
        ""
        if size == 1
        else "python serve.py --wait-ms 2    # requests wait up to 2 ms for others, and share a call of the model\n"
    )
    return f"""## Serve it

```
python serve.py                # http://127.0.0.1:8080: GET /health, GET /metadata, POST /predict
{waiting}```

`python serve.py --help` has its limits. In a container: `docker build -t model .`, then
`docker run --rm -p 8080:8080 model`."""


def _batches(manifest: Mapping[str, Any]) -> str:
    size = manifest["batch_size"]
    if any(isinstance(entry["shape"][0], int) for entry in manifest["inputs"] if entry["shape"]):
        return f"The model's batch size is fixed to {size}; `infer.py` fills up the last batch and cuts it off again."
    return f"`infer.py` runs {_examples(size)} at a time, as measured; `Model(batch_size=...)` changes that."


def _program(manifest: Mapping[str, Any]) -> str:
    if "program" not in manifest:
        return ""
    return f"""

In PyTorch: `{manifest["program"]}` is the model that this one was made from, in floating point, as a program of
torch.export in evaluation mode. It loads without the class that it was made from, and reads preprocessed tensors, in
the order of the inputs above. Loading it runs what it holds: load it only where you trust its source.

```python
import torch

module = torch.export.load("{manifest["program"]}").module()
```"""


def _figures(manifest: Mapping[str, Any]) -> str:
    measured = manifest["measured"]
    rows = "\n".join(f"| {name} | {value} | {interval} |" for name, value, interval in _rows(measured))
    return f"""## Measured

On target {code(measured["target"])} ({prose(measured["device"])}), {_examples(measured["batch_size"])} a call.
Machine: {_machine(measured["machine"])}.

| figure | value | interval |
|---|---|---|
{rows}"""


def _rows(measured: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    accuracy, latency, speedup = measured["accuracy"], measured["latency_ms"], measured["speedup"]
    if accuracy:
        name = f"{prose(accuracy['metric'])} ({accuracy['n']} examples)"
        figure = "{:.2%}".format if _in_percent(accuracy) else "{:.4f}".format
        yield name, figure(accuracy["value"]), f"{figure(accuracy['low'])} to {figure(accuracy['high'])}"
        if accuracy["delta"] is not None:
            yield "change against the baseline", *_change(accuracy)
    if latency:
        for name in ("p50", "p90", "p99"):
            yield f"latency {name}", f"{_number(latency[name]['value'])} ms", _interval(latency[name], "ms")
    if speedup:
        reference = speedup["reference"]
        over = f"{code(reference['variant'])} on {code(reference['target'])}"
        name = f"speed-up over {over} ({prose(speedup['verdict'])})"
        yield name, f"{speedup['value']:.3f}×", f"{speedup['low']:.3f}× to {speedup['high']:.3f}×"
    if measured["throughput"] is not None:
        yield "throughput", f"{_number(measured['throughput'])} examples/s", "-"
    yield "size on disk", f"{_number(measured['size_bytes'] / 1e6)} MB", "-"
    if measured["peak_memory_bytes"] is not None:
        yield "peak memory", f"{_number(measured['peak_memory_bytes'] / 1e6)} MB", "-"


def _trust(manifest: Mapping[str, Any]) -> str:
    golden, session = manifest["golden"], manifest["session"]
    threads = session.get("threads", session.get("intra_op_num_threads"))
    lines = [
        "The figures hold for the machine, the library versions (`requirements.txt`), the number of threads "
        f"({threads}; fewer where fewer cores may be used, which is said) and the batch size above. Elsewhere, measure "
        "again.",
        "The accuracy holds for data like the test data; the intervals cover chance, not a change of data.",
        f"The outputs for the {golden['examples']} golden inputs were made by this very model with these session "
        f"options. When they are compared: {prose(golden['rule'])}.",
        "`python -m pipeline verify DIR` compares every file with the sha256 in `manifest.json`, `infer.py` and "
        "`serve.py` with those that slimline writes, before it loads anything; it runs nothing that lies here but the "
        "model. The manifest is not signed: this finds damage and mix-ups, and does not tell who made the folder. Take "
        "it from a source that you trust.",
    ]
    return "## How far to trust this\n\n" + "\n".join(f"- {line}" for line in lines)


def _input(entry: Mapping[str, Any]) -> str:
    shape = ", ".join(["N", *("?" if size is None else str(size) for size in entry["shape"][1:])])
    prepared = entry["preprocessing"]
    steps = (
        f"`(raw * {prepared['scale']:.6g} - {prepared['mean']}) / {prepared['std']}`"
        if prepared
        else "handed on as they are"
    )
    values = f" from {entry['range'][0]:g} to {entry['range'][1]:g}" if entry["range"] else ""
    return f"{code(f'[{shape}]')}, {entry['raw_dtype']}{values} in the golden inputs; {steps}"


def _quoted(name: str) -> str:
    """A name as Python spells it, in a block of code that nothing in it can end."""
    return ascii(printable(name)).replace("`", "\\x60")


def _variable(index: int) -> str:
    return "array" if index == 0 else f"array_{index + 1}"


def _examples(count: int) -> str:
    return "1 example" if count == 1 else f"{count} examples"


def _needs_cuda(manifest: Mapping[str, Any]) -> bool:
    return any(entry["name"] == "CUDAExecutionProvider" for entry in manifest["session"].get("providers", ()))


def _machine(machine: Mapping[str, Any]) -> str:
    cores = f"{machine['cores']} cores" if machine.get("cores") else None
    known = [str(value) for value in (machine.get("cpu"), cores, machine.get("gpu"), machine.get("os")) if value]
    return prose(", ".join(known) or "not recorded")


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _interval(figure: Mapping[str, Any], unit: str) -> str:
    if figure["low"] is None or figure["high"] is None:
        return "too few samples"
    return f"{_number(figure['low'])} to {_number(figure['high'])} {unit}"


def _change(accuracy: Mapping[str, Any]) -> tuple[str, str]:
    """The change and its interval, in the metric's unit."""
    scale, places, unit = (100, 2, " points") if _in_percent(accuracy) else (1, 4, "")
    names = ("delta", "delta_low", "delta_high")
    if accuracy.get("unit") == "error":
        scale, names = -1, ("delta", "delta_high", "delta_low")
    value, low, high = (
        None if accuracy[name] is None else f"{accuracy[name] * scale + 0.0:+.{places}f}" for name in names
    )
    return f"{value}{unit}", "-" if low is None or high is None else f"{low} to {high}{unit}"


def _in_percent(accuracy: Mapping[str, Any]) -> bool:
    """Also of a manifest that does not say what its figures are written in."""
    return bool(accuracy.get("unit", "percent") == "percent")
