"""The wheel, the sdist and the editable install all carry the configuration, the data and the reference model."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CARRIED = (
    "conf/config.yaml",
    "conf/variant/pruned_int8.yaml",
    "models/fashion_resnet/weights.safetensors",
    "models/fashion_resnet/card.json",
    "models/fashion_resnet/LICENSE",
    "pipeline/data/fashion_mnist/test.npz",
    "pipeline/data/fashion_mnist/LICENSE",
    "pipeline/data/fashion_mnist/card.json",
    "pipeline/bundle/infer.py",
    "pipeline/bundle/serve.py",
    "pipeline/command_line/templates/stage.py.template",
)


def command(*arguments: str | Path, cwd: Path, **environment: str) -> str:
    done = subprocess.run(
        arguments, cwd=cwd, env={**os.environ, **environment}, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sdist, and the wheel made from the sdist."""
    out = tmp_path_factory.mktemp("dist")
    command(sys.executable, "-m", "build", "--no-isolation", "--outdir", out, ROOT, cwd=out)
    return out


def test_the_sdist_carries_everything(built: Path) -> None:
    with tarfile.open(next(built.glob("*.tar.gz"))) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert set(CARRIED) <= names


def test_the_wheel_carries_everything_but_the_store(built: Path) -> None:
    with zipfile.ZipFile(next(built.glob("*.whl"))) as archive:
        names = set(archive.namelist())
    moved = {
        name.replace("conf/", "pipeline/conf/").replace("models/", "pipeline/models/")
        if not name.startswith("pipeline/")
        else name
        for name in CARRIED
    }
    assert moved <= names
    packages = {path.parent.relative_to(ROOT).as_posix() for path in (ROOT / "pipeline").rglob("*.py")}
    assert packages <= {name.rpartition("/")[0] for name in names if name.endswith(".py")}
    assert not any("store" in name for name in names if name.startswith("pipeline/models/"))


@pytest.mark.slow
def test_the_installed_wheel_runs_from_another_folder(built: Path, tmp_path: Path) -> None:
    environment = tmp_path / "venv"
    venv.create(environment, with_pip=False)
    python = environment / "bin" / "python"
    wheel = next(built.glob("*.whl"))
    command(
        sys.executable,
        "-m",
        "pip",
        "--python",
        python,
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        wheel,
        cwd=tmp_path,
    )
    own = next((environment / "lib").glob("python*")) / "site-packages"
    libraries = [path for path in sys.path if path.endswith("site-packages")]
    (own / "libraries.pth").write_text("\n".join(libraries) + "\n")
    where = command(python, "-c", "import pipeline; print(pipeline.__file__)", cwd=tmp_path)
    assert Path(where.strip()).is_relative_to(own)
    program = environment / "bin" / "slimline"
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    brief = ("debug=default", "measure.peaks=false", "measure.explain=none", "measure.energy_s=null")
    sooner = "variants.baseline.stages.export.exporter=torchscript"
    printed = command(program, "variant=[baseline]", "target=[ort_cpu]", sooner, *brief, cwd=folder, COLUMNS="120")
    assert "baseline" in printed
    assert (folder / "outputs" / "latest" / "report.html").exists()
    assert (folder / "models" / "store").exists()
    assert not list(own.glob("pipeline/models/store"))
