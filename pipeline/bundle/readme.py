"""The bundle's ``README.md``, written from its manifest: whatever names are in it, they are no markup."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.bundle.fence import code, prose
from pipeline.bundle.figures import examples, machine_words, rows
from pipeline.bundle.slimline_infer.values import printable

README_FILE = "README.md"
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
{_program(manifest)}{_ort_format(manifest)}"""


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
    return f"`infer.py` runs {examples(size)} at a time, as measured; `Model(batch_size=...)` changes that."


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


def _ort_format(manifest: Mapping[str, Any]) -> str:
    if "ort_format" not in manifest:
        return ""
    model, operators = manifest["ort_format"]["model"], manifest["ort_format"]["operators"]
    return f"""

For phones: `{model}` is the same model in ONNX Runtime's own format, which a reduced build reads. The build gets the
operators that the model needs, and no others, by `build.sh --minimal_build --include_ops_by_config {operators}`. The
figures below are those of `{manifest["model"]}`, which infer.py runs."""


def _figures(manifest: Mapping[str, Any]) -> str:
    measured = manifest["measured"]
    lines = "\n".join(f"| {name} | {value} | {interval} |" for name, value, interval in rows(measured))
    return f"""## Measured

On target {code(measured["target"])} ({prose(measured["device"])}), {examples(measured["batch_size"])} a call.
Machine: {machine_words(measured["machine"])}.

| figure | value | interval |
|---|---|---|
{lines}"""


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
        "`MODEL_CARD.md` tells what was done to the model and under which licences things are, `sbom.cdx.json` lists "
        "what is in the folder and what it runs on. `sha256sum -c SHA256SUMS` checks the files without slimline.",
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


def _needs_cuda(manifest: Mapping[str, Any]) -> bool:
    return any(entry["name"] == "CUDAExecutionProvider" for entry in manifest["session"].get("providers", ()))
