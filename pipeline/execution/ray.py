"""Calls as tasks of a Ray cluster (https://docs.ray.io): one that exists, or a local one that is started for the run.

A task that dies with its node is started again on another one: it makes a store's entry, which is there once, whoever
makes it.
"""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from threading import Event
from typing import Any, TypeVar

from pipeline.bounds import Count, NotNegative, Positive, Whole
from pipeline.errors import UserError, WorkerFailed, first_line
from pipeline.execution.far import FarCall, Lost, importable, started_again
from pipeline.isolated.call import Raised, Returned
from pipeline.isolated.run import pass_on, result_of
from pipeline.isolated.template import Template
from pipeline.libraries.manners import with_manners
from pipeline.libraries.muted import errors_only
from pipeline.machine.environment import available_cores
from pipeline.plan import PlacedCall, Places

T = TypeVar("T")
ADDRESS = "RAY_ADDRESS"
"""Ray's own variable: the address of a cluster."""
RESOURCE = "resource"
"""The key of a target's ``where`` that names a resource of the node."""
MANNERS: Mapping[str, str] = {
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_enable_metrics_collection": "false",
    "RAY_worker_niceness": "0",
}
"""Else Ray reports its use to its makers, prints lines of its own on the terminal, and gives its processes a low
priority, which a busy machine shows in what they measure. The user's own variables go first."""
_LOOK_S = 0.5
_PATIENCE_S = 10.0
_GONE_S = 30.0
"""How long a task waits for a node that can take it, when the last one is gone: one that starts anew comes back."""
_CUT_S = 10.0
"""How long a task may be on a node that is gone before it is started again. Ray does so when the node's processes
have ended, and where its network is cut only after some minutes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ray:
    """A Ray cluster."""

    address: str | None = None
    """Such as ``auto`` or ``ray://head:10001``; None: ``RAY_ADDRESS``, or else a cluster of this machine alone."""
    cpus: Positive = 1
    """The cores that a task asks for."""
    gpus: NotNegative = 1
    """The GPUs that a training asks for, where the cluster has any."""
    retries: Whole = 3
    """How often a task that has died with its node is started again."""
    places: Count | None = None
    """How many tasks are asked for at once; None: as many as the cluster's cores take."""
    runtime_env: Mapping[str, Any] = field(default_factory=dict)
    """Ray's ``runtime_env`` of the tasks, such as {working_dir: .} for classes of your own."""

    def check(self) -> None:
        """Raise UserError where Ray is not installed."""
        if find_spec("ray") is None:
            raise UserError("execution=ray needs Ray, which is not installed: pip install 'slimline[ray]'")

    def node_problem(self, where: Mapping[str, Any]) -> str | None:
        """A node is named by a resource of its own."""
        if set(where) == {RESOURCE} and isinstance(where[RESOURCE], str):
            return None
        return f"a node of Ray is named by a resource that it has: type {{{RESOURCE}: NAME}}"

    @contextmanager
    def open(self, template: Template) -> Iterator[Places]:
        """Connect to the cluster, or start one; raises UserError where neither goes."""
        import ray

        address = self.address or os.environ.get(ADDRESS) or "local"
        starts = address == "local"
        with errors_only(), importable(), with_manners(MANNERS):
            for last in (not starts, False, True):
                try:
                    _knock(address)
                    ray.init(
                        address=address,
                        namespace="slimline",
                        log_to_driver=False,
                        configure_logging=False,
                        runtime_env=dict(self.runtime_env) or None,
                        **({"num_cpus": available_cores(), "include_dashboard": False} if starts else {}),
                    )
                    break
                except Exception as error:  # Ray raises errors of every kind here
                    if last:
                        raise UserError(_no_cluster(address, error)) from error
                    ray.shutdown()  # a busy machine may be too slow for Ray's own patience of half a minute
        try:
            resources = ray.cluster_resources()
            places = self.places or max(1, int(resources.get("CPU", 1) // self.cpus))
            tasks = Tasks(count=places, settings=self, gpus=min(self.gpus, resources.get("GPU", 0)))
            try:
                yield tasks
            finally:
                tasks.end()
        finally:
            ray.shutdown()


def alone_on(resource: str) -> Mapping[str, Any]:
    """The options of a task that has the node with a resource for itself: it takes all the node's cores.

    Raises WorkerFailed where no node has it.
    """
    nodes = _living().values()
    cores = [node.get("CPU", 1) for node in nodes if resource in node]
    if not cores:
        known = sorted({name for node in nodes for name in node if ":" not in name and name.islower()} - {"memory"})
        raise WorkerFailed(
            f"no node of the cluster has the resource {resource}; there are: {', '.join(known) or 'none'}"
        )
    return {"num_cpus": max(cores), "resources": {resource: 0.001}}


def _living() -> Mapping[str, Mapping[str, float]]:
    """The resources of each node that lives, by its id."""
    import ray

    return {node["NodeID"]: node["Resources"] for node in ray.nodes() if node["Alive"]}


@dataclass(slots=True, kw_only=True)
class Tasks:
    """The cluster, seen as places."""

    count: int
    settings: Ray
    gpus: float
    elsewhere: bool = True
    stop: Event = field(default_factory=Event)
    _ears: Any = None

    def __post_init__(self) -> None:
        import ray
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        # Ray puts what asks for nothing anywhere; here it does not go with another node.
        near = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        self._ears = ray.remote(Ears).options(num_cpus=0, scheduling_strategy=near).remote()

    def run(self, call: PlacedCall[T]) -> T:
        """Carry out the call in a task; one whose node dies or is cut off is started again, ``retries`` times."""
        return started_again(lambda: self._once(call), self.settings.retries)

    def end(self) -> None:
        """End what runs."""
        self.stop.set()

    def _once(self, call: PlacedCall[T]) -> T:
        import ray

        far = FarCall.of(call)
        task = ray.remote(carry_out).options(
            num_gpus=self.gpus if call.trains else 0,
            max_retries=self.settings.retries,
            **(alone_on(call.where[RESOURCE]) if call.where else {"num_cpus": self.settings.cpus}),
            name=getattr(call.function, "__name__", "call"),
        )
        try:
            running = task.remote(far, self._ears)
        except Exception as error:  # a class of the user's may refuse to be pickled in its own way
            raise WorkerFailed(f"it can't be handed to Ray: {first_line(error)}") from error
        try:
            result: T = self._awaited(running, far.name, call)
            return result
        except BaseException:
            with suppress(Exception):  # a cluster that is gone has nothing to cancel
                ray.cancel(running, force=True)
            raise

    def _awaited(self, running: Any, name: str, call: PlacedCall[Any]) -> Any:
        import ray

        place: str | None = None
        known = _living().keys()
        possible = there = time.monotonic()
        while True:
            done, _ = ray.wait([running], timeout=_LOOK_S)
            if self.stop.is_set():
                raise WorkerFailed("it was stopped")
            call.limits.check_time()
            said, place = self._heard(name, place)
            for message in said:
                pass_on(message, call.hear)
            if done:
                try:
                    outcome: Returned | Raised = ray.get(running)
                except ray.exceptions.RayError as error:
                    raise WorkerFailed(f"its task ended on Ray: {first_line(error)}") from error
                return result_of(outcome)
            nodes, now = _living(), time.monotonic()
            if self._is_possible(call, nodes.values()):
                possible = now
            elif now - possible > _GONE_S:
                raise WorkerFailed(_gone(call.where))
            # One that has not begun may be on any node: what it says of itself is lost with the way there.
            if (known if place is None else {place}) <= nodes.keys():
                there = now
            elif possible == now and now - there > _CUT_S:
                raise Lost("its node is gone from the cluster")

    def _is_possible(self, call: PlacedCall[Any], nodes: Iterable[Mapping[str, float]]) -> bool:
        """Whether a node lives that can take it. Ray itself lets a task wait for one for ever."""
        wanted = {call.where[RESOURCE]: 0.0} if call.where else {"CPU": self.settings.cpus}
        return any(node.get(name, -1.0) >= least for node in nodes for name, least in wanted.items())

    def _heard(self, name: str, place: str | None) -> tuple[list[Any], str | None]:
        """What a task has said since the last time, and the id of its node, which was ``place``; nothing new where that
        can't be known: what it says is no result."""
        import ray

        with suppress(ray.exceptions.RayError):
            said, at = ray.get(self._ears.take.remote(name), timeout=_PATIENCE_S)
            return said, at or place
        return [], place


class Ears:
    """An actor that keeps what tasks say until the run takes it."""

    def __init__(self) -> None:
        self._said: dict[str, list[Any]] = {}
        self._nodes: dict[str, str] = {}

    def begin(self, name: str, node: str) -> None:
        """A task has begun on a node, of which the id is told."""
        self._nodes[name] = node

    def hear(self, name: str, message: Any) -> None:
        """Keep a message of a task."""
        self._said.setdefault(name, []).append(message)

    def take(self, name: str) -> tuple[list[Any], str | None]:
        """The messages of a task since the last time, and the id of its node; None before it has begun."""
        return self._said.pop(name, []), self._nodes.get(name)


def carry_out(far: FarCall, ears: Any) -> Returned | Raised:
    """Carry out a call on the node that Ray has chosen."""
    import ray

    sent: list[Any] = []
    ears.begin.remote(far.name, ray.get_runtime_context().get_node_id())

    def tell(message: Any) -> None:
        sent[:] = [ears.hear.remote(far.name, message)]

    outcome = far.carry_out(tell)
    if sent:
        ray.wait(sent, timeout=_PATIENCE_S)  # messages come in order, so the last one has all others before it
    return outcome


def _knock(address: str) -> None:
    """Raise OSError where nobody listens at HOST:PORT: Ray itself would try for minutes."""
    host, _, port = address.rpartition("//")[2].rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host, int(port)), _PATIENCE_S).close()


def _gone(where: Mapping[str, Any] | None) -> str:
    which = f"with the resource {where[RESOURCE]}" if where else "that has the cores for it"
    return f"no node {which} is left in the cluster, and none came back in {_GONE_S:g} s"


def _no_cluster(address: str, error: Exception) -> str:
    if address == "local":
        return f"Ray could not be started here: {first_line(error)}: execution=pool needs nothing to be started"
    return f"no Ray cluster answers at {address}: {first_line(error)}: type execution.address=ADDRESS, or set {ADDRESS}"
