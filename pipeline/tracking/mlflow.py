"""Sends a finished run to MLflow (https://mlflow.org)."""

from __future__ import annotations

import json
import shlex
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pipeline.analyse.beside import report_of
from pipeline.artifact import ONNX_FILE
from pipeline.artifact.onnx_file import read_onnx
from pipeline.bounds import Nonempty
from pipeline.bundle.manifest import MANIFEST_FILE
from pipeline.errors import SlimlineError, UserError, first_line
from pipeline.libraries.manners import with_manners
from pipeline.libraries.muted import errors_only
from pipeline.report.deployed import FOLDER as DEPLOY
from pipeline.report.fields import values_of
from pipeline.report.rows import Row, all_rows, row_status
from pipeline.report.tidy import figures_of
from pipeline.results.reading import load_run
from pipeline.results.report import Report

if TYPE_CHECKING:
    from mlflow.entities import Run
    from mlflow.models import ModelSignature
    from onnx import ModelProto, ValueInfoProto

MANNERS: Mapping[str, str] = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
"""Else MLflow reports its use to its makers, waits for minutes for a server that does not answer, and prints the
address of each row, password included. The user's own variables go first."""
ENDS: Mapping[str, str] = {"ok": "FINISHED", "failed": "FAILED", "skipped": "KILLED"}
"""MLflow's word for how a row ended. It has none for a skipped one; the tag ``status`` has ours."""
LONGEST_VALUE = 6000
"""The characters of a parameter or a tag that MLflow's server takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MLflow:
    """A tracking server of MLflow, or a database of its own (``sqlite:///mlflow.db``).

    A run of slimline becomes a run of MLflow with the figures of the row that it recommends, the files of the report
    and the bundle. Each row is a run below it. The metrics are those of report.csv, and each has its ``_low`` and
    ``_high`` beside it. What is text, such as a verdict, is a tag. A bundle's model.onnx is logged in MLflow's ONNX
    flavour.
    """

    uri: str | None = None
    experiment: Nonempty = "slimline"
    run_name: str | None = None
    bundle: bool = True

    def check(self) -> None:
        """Raise UserError where MLflow is not installed, or nobody answers at ``uri``."""
        if find_spec("mlflow") is None:
            raise UserError("tracking=mlflow needs MLflow, which is not installed: pip install 'slimline[mlflow]'")
        with self._client() as mlflow:
            try:
                mlflow.search_experiments(max_results=1)
            except Exception as error:
                raise UserError(
                    f"tracking: nobody answers at {_told(mlflow, error)}: start it, as with 'mlflow server', type "
                    "tracking.uri=URI, or leave tracking=mlflow out"
                ) from error

    def track(self, run: Path) -> str:
        """Send a finished run; returns its address, or its number where the tracking has no pages."""
        report = report_of(load_run(run), run)
        with self._client() as mlflow:
            try:
                mlflow.set_experiment(self.experiment)
                return self._sent(mlflow, report, run)
            except Exception as error:
                raise SlimlineError(
                    f"not all of it was taken at {_told(mlflow, error)}; send it again: {self._command(run)}"
                ) from error

    def _command(self, run: Path) -> str:
        """What sends a run once more."""
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        words = [f"tracking.{name}={value}" for name, value in given.items() if value != getattr(MLflow(), name)]
        return shlex.join(["python", "-m", "pipeline", "track", str(run), *words])

    @contextmanager
    def _client(self) -> Iterator[Any]:
        """MLflow, asked for this tracking; what it keeps for the whole process is put back."""
        with with_manners(MANNERS):
            with warnings.catch_warnings(action="ignore"):
                import mlflow

            with errors_only("mlflow"), warnings.catch_warnings(action="ignore"):
                before = mlflow.get_tracking_uri()
                mlflow.set_tracking_uri(self.uri or before)
                try:
                    yield mlflow
                finally:
                    mlflow.set_tracking_uri(before)

    def _sent(self, mlflow: Any, report: Report, folder: Path) -> str:
        rows = all_rows(report)
        chosen = next((row for row in rows if row.recommended), None)
        name = self.run_name or f"{report.model}, {report.data}"
        with mlflow.start_run(run_name=name, description=report.summary) as sent:
            mlflow.log_params(_short(settings_of(report)))
            mlflow.set_tags(_short(tags_of(report)))
            if chosen is not None:
                mlflow.log_metrics(numbers_of(chosen))
            for file in sorted(folder.glob("report.*")):
                mlflow.log_artifact(str(file))
            for row in rows:
                _send_row(mlflow, row)
            if chosen is not None and self.bundle:
                _send_bundle(mlflow, folder / DEPLOY / chosen.variant.name)
        return _address(mlflow.get_tracking_uri(), sent)


def settings_of(report: Report) -> dict[str, Any]:
    """What was asked for: the model, the data, and the settings that limit and measure."""
    parts = {"measure": asdict(report.measure), "constraints": asdict(report.constraints)}
    nested = {f"{part}.{key}": value for part, values in parts.items() for key, value in values.items()}
    return {"model": report.model, "data": report.data, "seed": report.seed, **nested}


def tags_of(report: Report) -> dict[str, Any]:
    """The outcome, the machine and the versions."""
    machine = {f"machine.{key}": value for key, value in asdict(report.machine).items() if key != "libraries"}
    versions = {f"version.{name}": version for name, version in report.machine.libraries.items()}
    chosen = report.recommendation
    outcome = (
        {"why_none": report.why_none}
        if chosen is None
        else {"recommended": f"{chosen.variant}@{chosen.target}", "why": chosen.why}
    )
    own = {f"slimline.{key}": value for key, value in report.slimline.items()}
    noise = {"noisy": report.noise.noisy, "noise": "; ".join(report.noise.reasons)}
    return {"command": report.command, "created": report.created, **outcome, **noise, **own, **machine, **versions}


def numbers_of(row: Row) -> dict[str, float]:
    """The figures of a row, under the names that report.csv gives them, and the ends of their intervals."""
    return {name: value for figure in figures_of(row) for name, value in figure.numbers.items()}


def words_of(row: Row) -> dict[str, str]:
    """What is known of a row in words."""
    return {name: value for name, value in values_of(row).items() if isinstance(value, str)}


def _send_row(mlflow: Any, row: Row) -> None:
    """A run below the run: the row's chain and its figures."""
    status, reason = row_status(row)
    stages = row.variant.stages
    chain = {f"{stage.name}.{key}": value for stage in stages for key, value in stage.fields.items()}
    name = row.variant.name
    if row.result is not None:
        name += f" on {row.result.target}, batch {row.result.batch_size}"
    with mlflow.start_run(run_name=name, nested=True):
        mlflow.log_params(_short({"chain": " > ".join(stage.name for stage in stages), **chain}))
        mlflow.set_tags(_short({**words_of(row), "status": status, "recommended": row.recommended}))
        if status != "ok":
            mlflow.set_tag("reason", reason[:LONGEST_VALUE])
        mlflow.log_metrics(numbers_of(row))
        mlflow.end_run(ENDS[status])


def _send_bundle(mlflow: Any, bundle: Path) -> None:
    """The bundle's files, and its model in MLflow's ONNX flavour."""
    if not bundle.is_dir():
        return
    mlflow.log_artifacts(str(bundle), artifact_path=f"{DEPLOY}/{bundle.name}")
    if not (bundle / ONNX_FILE).exists():
        return
    model = read_onnx(bundle / ONNX_FILE)
    manifest = json.loads((bundle / MANIFEST_FILE).read_text(encoding="utf-8"))
    threads = manifest["session"].get("intra_op_num_threads")
    mlflow.onnx.log_model(
        model,
        name=bundle.name,
        signature=signature_of(model),
        pip_requirements=str(bundle / "requirements.txt"),
        onnx_session_options=None if threads is None else {"intra_op_num_threads": threads},
        metadata={"slimline": manifest["provenance"]},
    )


def signature_of(model: ModelProto) -> ModelSignature:
    """The names, types and sizes of the model's inputs and outputs; a free size is -1."""
    from mlflow.models import ModelSignature
    from mlflow.types.schema import Schema

    given = {entry.name for entry in model.graph.initializer}
    inputs = [_tensor(value) for value in model.graph.input if value.name not in given]
    return ModelSignature(inputs=Schema(inputs), outputs=Schema([_tensor(value) for value in model.graph.output]))


def _tensor(value: ValueInfoProto) -> Any:
    from mlflow.types.schema import TensorSpec
    from onnx import helper

    tensor = value.type.tensor_type
    sizes = tuple(size.dim_value if size.HasField("dim_value") else -1 for size in tensor.shape.dim)
    return TensorSpec(helper.tensor_dtype_to_np_dtype(tensor.elem_type), sizes, value.name)


def _short(values: Mapping[str, Any]) -> dict[str, str]:
    """Values as text of a length that MLflow takes; what has none is left out."""
    return {key: str(value)[:LONGEST_VALUE] for key, value in values.items() if value is not None}


def _address(uri: str, run: Run) -> str:
    if not uri.startswith(("http://", "https://")):
        return f"{_without_secret(uri, uri)}, run {run.info.run_id}"
    return f"{_without_secret(uri, uri).rstrip('/')}/#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}"


def _told(mlflow: Any, error: Exception) -> str:
    """Where it went wrong, and why."""
    uri = mlflow.get_tracking_uri()
    return _without_secret(f"{uri} ({first_line(error)})", uri)


def _without_secret(text: str, uri: str) -> str:
    """A text without the user's name and password of an address."""
    user, at, _ = urlsplit(uri).netloc.rpartition("@")
    return text.replace(user + at, "") if at else text
