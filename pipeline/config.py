"""Makes a checked Plan from Hydra's configuration. Only this module and cli.py know Hydra and OmegaConf."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, make_dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.config_store import ConfigStore
from hydra.core.plugins import Plugins
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import MISSING, DictConfig, OmegaConf

from pipeline.bounds import BatchSize, Licence, fitted
from pipeline.construct import construct, make, selected_in
from pipeline.errors import UserError, keeping
from pipeline.errors.names import meant, unknown
from pipeline.folders.outputs import MadeOnce, new_folder
from pipeline.libraries.packages import package_folder
from pipeline.libraries.plugins import plugin_packages
from pipeline.metrics.postprocessed import behind
from pipeline.plan import BASELINE, Constraints, GateRules, MeasureSettings, Plan, RunLimits, SearchSettings, Tracking
from pipeline.plan.chains import with_beginnings, with_reader
from pipeline.plan.check import check, check_measure
from pipeline.stages.from_onnx import PACKAGE, FromOnnx
from pipeline.store import StorePlace, store_place

OF_VARIANTS = ("choices", "rescues", "rescue_chains", "ranges")
"""The keys of ``search`` that begin with the name of a variant."""
FROM_ONNX = "from_onnx"
"""The name, in its chain, of the stage that makes a PyTorch model of an ONNX file."""
NAME = re.compile(r"[\w+-][\w.+-]*")
"""The characters of a variant's or a target's name: it is part of file names, and ``variant@target`` names a row."""


def _skeleton(kind: type) -> type:
    """A schema with the fields of a dataclass. It knows their names alone; ``_make`` checks what is in them."""
    return make_dataclass(f"{kind.__name__}Node", [(item.name, Any, field(default=MISSING)) for item in fields(kind)])


@dataclass
class StoreNode:
    """The schema of ``store``."""

    path: str = "models/store"
    max_gb: float = 10.0
    shared: bool | None = None
    cache: str | None = None
    options: dict[str, Any] = field(default_factory=dict)


@dataclass
class Schema:
    """The skeleton of the configuration. A node with a ``_target_`` is checked against the class that it names."""

    model: dict[str, Any] = MISSING
    data: dict[str, Any] = MISSING
    metric: dict[str, Any] = MISSING
    variants: dict[str, Any] = field(default_factory=dict)
    target: dict[str, Any] = field(default_factory=dict)
    batch_sizes: Any = MISSING  # ``check`` knows the bounds
    grid: str = "all"
    steps: list[str] = field(default_factory=list)
    seed: int = 0
    measure: Any = field(default_factory=_skeleton(MeasureSettings))
    constraints: Any = field(default_factory=_skeleton(Constraints))
    limits: Any = field(default_factory=_skeleton(RunLimits))
    store: StoreNode = field(default_factory=StoreNode)
    search: Any = None
    tracking: Any = None
    execution: dict[str, Any] = MISSING
    gate: Any = field(default_factory=_skeleton(GateRules))


class PlugIns(SearchPathPlugin):
    """Puts the configurations of installed plug-ins behind those that ship."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Add their packages; Hydra calls this."""
        for package in plugin_packages():
            search_path.append(provider=package, path=f"pkg://{package}")


def register(*, make_folders: bool = True) -> None:
    """Make known to Hydra the schema, the plug-ins, ``${package:NAME}`` (a package's folder) and
    ``${new_folder:PATH}``.

    ``${new_folder:PATH}`` makes the folder, or one with a number behind its name where another run has made it. Without
    ``make_folders`` it only names the folder.
    """
    ConfigStore.instance().store(name="schema", node=Schema)
    Plugins.instance().register(PlugIns)
    OmegaConf.register_new_resolver("package", package_folder, replace=True)
    OmegaConf.register_new_resolver("new_folder", MadeOnce(make=new_folder if make_folders else str), replace=True)


def build(cfg: DictConfig, output: Path, command: str) -> Plan:
    """Make the Plan and check it whole; raises UserError with every problem that was found."""
    missing = sorted(OmegaConf.missing_keys(cfg))
    if missing:
        raise UserError(*(f"{key} has no value: type {key}=VALUE" for key in missing))
    plain: dict[str, Any] = OmegaConf.to_container(cfg, resolve=True)  # type: ignore[assignment]
    problems: list[str] = _unknown(plain)
    licences = {part: plain[part].pop("licence", None) for part in ("model", "data")}
    licences = {
        part: fitted(name, Licence, f"{part}.licence", problems) for part, name in licences.items() if name is not None
    }
    model = construct(plain["model"], "model", problems)
    data = construct(plain["data"], "data", problems)
    metric = construct(plain["metric"], "metric", problems)
    variants = _named(plain["variants"], "variants", problems)
    targets = _named(plain["target"], "target", problems)
    measure = make(MeasureSettings, plain["measure"], "measure", problems)
    constraints = make(Constraints, plain["constraints"], "constraints", problems)
    limits = make(RunLimits, plain["limits"], "limits", problems)
    search = None if plain["search"] is None else make(SearchSettings, plain["search"], "search", problems)
    tracking = None if plain["tracking"] is None else construct(plain["tracking"], "tracking", problems)
    execution = construct(plain["execution"], "execution", problems)
    make(GateRules, plain["gate"], "gate", problems)  # for a run they only have to be valid
    place = _store_place(plain["store"], problems)
    sizes = plain["batch_sizes"]
    batch_sizes = fitted(sizes if isinstance(sizes, list) else [sizes], tuple[BatchSize, ...], "batch_sizes", problems)
    problems.extend(
        f"steps: variant {name} is not selected; {meant(name, variants)}available: {', '.join(variants)}"
        for name in plain["steps"]
        if name not in variants
    )
    problems.extend(_unselected(command, variants, targets))
    if problems:
        raise UserError(*problems)
    if model.format == "onnx" and find_spec(PACKAGE) is not None:
        variants = with_reader(variants, FROM_ONNX, FromOnnx())
    plan = Plan(
        model=model,
        data=data,
        metric=behind(getattr(model, "postprocessing", None), metric),
        variants=with_beginnings(variants, plain["steps"]),
        targets=targets,
        batch_sizes=batch_sizes,
        measure=measure,
        constraints=constraints,
        seed=plain["seed"],
        store=place,
        store_max_gb=plain["store"]["max_gb"],
        output=output,
        command=command,
        grid=plain["grid"],
        limits=limits,
        search=search,
        tracking=tracking,
        execution=execution,
        licences=licences,
        default_variants=by_default(command, "variant", "variants", variants) - {BASELINE, *plain["steps"]},
        default_targets=by_default(command, "target", "target", targets),
    )
    problems = check(plan)
    if problems:
        raise UserError(*problems)
    return plan


def _store_place(plain: Mapping[str, Any], problems: list[str]) -> StorePlace:
    """Where the store lies; an earlier run's configuration lacks some of the keys."""
    with keeping(problems):
        return store_place(
            plain["path"],
            cache=plain.get("cache"),
            shared=plain.get("shared"),
            options=plain.get("options"),
        )
    return StorePlace(folder=Path())


def by_default(command: str, group: str, node: str, names: Iterable[str]) -> frozenset[str]:
    """The names of a group that nobody typed: not in a list (``variant=[...]``), not in a field's path, not by an
    experiment, which names its own."""
    keys = [word.lstrip("+~").partition("=")[0] for word in shlex.split(command)]
    if {group, "experiment", "--config-name", "--config-path"} & set(keys):
        return frozenset()
    paths = [key.rpartition("@")[2].split(".") for key in keys]
    return frozenset(names) - {path[1] for path in paths if path[0] == node and len(path) > 1}


def _unselected(command: str, variants: Iterable[str], targets: Iterable[str]) -> Iterator[str]:
    """What was typed for a search about a variant or a target that is not selected. What an experiment says of such
    ones does not count."""
    names = {**{key: list(variants) for key in OF_VARIANTS}, "sessions": list(targets)}
    for word in shlex.split(command):
        group, *path = word.lstrip("+").partition("=")[0].split(".")
        if group == "search" and len(path) > 1 and path[0] in names and path[1] not in names[path[0]]:
            selected = names[path[0]]
            asked = meant(path[1], selected)
            yield f"search.{path[0]}.{path[1]} is not selected; {asked}selected: {', '.join(selected)}"


def _unknown(plain: Mapping[str, Any]) -> list[str]:
    """What was added with ``+`` and nothing reads."""
    levels = (("", plain, Schema), ("store.", plain["store"], StoreNode))
    problems = []
    for where, node, schema in levels:
        known = [item.name for item in fields(schema)]
        problems += [unknown(f"{where}{key}", key, known) for key in node if key not in known]
    return problems


def _named(nodes: Mapping[str, Any], group: str, problems: list[str]) -> dict[str, Any]:
    """What a mapping's nodes make, each named by its key."""
    made = {}
    for name, node in nodes.items():
        where = f"{group}.{name}"
        given = node.get("name", name) if isinstance(node, dict) else name
        if not NAME.fullmatch(name):
            problems.append(f"{where}: a name holds letters, digits, '_', '-', '+' and '.', and begins with no '.'")
        elif given != name:
            problems.append(
                f"{where}.name is {given}, but its key is its name: leave name out, or type {where}.name={name}"
            )
        node = {**node, "name": name} if isinstance(node, dict) else node
        made[name] = construct(node, where, problems, selected_in(nodes))
    return made


def measure_settings(overrides: Sequence[str]) -> MeasureSettings:
    """Only ``measure``, with overrides such as ``measure=quick``; raises UserError for an override of anything else."""
    settings: MeasureSettings = _only("measure", overrides, partial(make, MeasureSettings))
    problems = check_measure(settings)
    if problems:
        raise UserError(*problems)
    return settings


def gate_rules(overrides: Sequence[str]) -> GateRules:
    """Only ``gate``, with overrides such as ``gate.max_slowdown=0.05``; raises UserError for an override of anything
    else."""
    rules: GateRules = _only("gate", overrides, partial(make, GateRules))
    return rules


def tracking_of(overrides: Sequence[str]) -> Tracking:
    """Only ``tracking``, with overrides such as ``tracking.uri=URI``; raises UserError for an override of anything
    else."""
    tracking: Tracking = _only("tracking", overrides, construct)
    return tracking


def _only(group: str, overrides: Sequence[str], made: Callable[[Any, str, list[str]], Any]) -> Any:
    """What is made of one group of the configuration, with what was typed about it."""
    from hydra import compose, initialize_config_module

    for override in overrides:
        if not override.startswith((f"{group}=", f"{group}.")):
            raise UserError(f"{override} can't be set here: only {group}=OPTION and {group}.KEY=VALUE can")
    with initialize_config_module("pipeline.conf", version_base="1.3"):
        cfg = compose("config", list(overrides))
    problems: list[str] = []
    found = made(OmegaConf.to_container(cfg[group], resolve=True), group, problems)
    if problems:
        raise UserError(*problems)
    return found
