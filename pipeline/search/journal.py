"""The trials of a search as they end, in an Optuna journal: a search that was stopped goes on where it was.

Optuna's tree-structured Parzen estimator samples the fields that are numbers, from the trials of the same fields
(Bergstra et al. 2011; Watanabe 2023, arXiv:2304.11127), for the two objectives speed and drift, with the accuracy limit
as its constraint.
"""

from __future__ import annotations

import logging
import math
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.bounds import fitted
from pipeline.errors.contained import contained
from pipeline.plan.search import Range
from pipeline.results.search import SearchTrial

if TYPE_CHECKING:
    import optuna

logger = logging.getLogger(__name__)
_STUDY = "search"
_TRIAL, _IDENTITY = "trial", "identity"
_LIMIT = "drift"
_STARTUP = 2
"""Samples that are drawn at random before the estimator has anything to go by."""


@dataclass(slots=True, kw_only=True)
class Journal:
    """The journal of one search. ``ended`` has the trials by the identity of their candidate, which does not depend on
    names."""

    path: Path
    seed: int
    ended: dict[str, SearchTrial] = field(default_factory=dict)
    samples: list[Mapping[str, float]] = field(default_factory=list)
    """The values of the samples that have ended, by the names of ``sample``."""
    _study: optuna.Study | None = None

    def open(self) -> None:
        """Open the journal, or begin it, and read the trials that have ended. One that can't be read is begun anew."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._study = contained(f"the trials in {self.path}", self._opened, self._anew)

    def _anew(self, reason: str) -> optuna.Study:
        logger.warning("%s: the search begins anew", reason)
        self.path.unlink(missing_ok=True)
        return self._opened()

    def end(self, identity: str, trial: SearchTrial, sampled: optuna.trial.Trial | None = None) -> None:
        """Keep a trial that has ended. ``sampled`` is the sample that it tried, where it tried one."""
        from optuna.trial import TrialState, create_trial

        values = _values(trial)
        facts = {_IDENTITY: identity, _TRIAL: asdict(trial)}
        state = TrialState.FAIL if values is None else TrialState.COMPLETE
        self.ended[identity] = trial
        if sampled is None:
            self.study.add_trial(create_trial(state=state, values=values, user_attrs=facts))
            return
        if trial.drift is not None:
            sampled.set_constraint(_LIMIT, -trial.drift.margin - trial.drift.delta)
        for name, value in facts.items():
            sampled.set_user_attr(name, value)
        self.study.tell(sampled, values, state=state)

    def sample(self, ranges: Mapping[str, Range]) -> optuna.trial.Trial:
        """Values for fields that are numbers, in ``params`` by the names in ``ranges``."""
        from optuna.distributions import FloatDistribution

        return self.study.ask({name: FloatDistribution(low, high) for name, (low, high) in ranges.items()})

    @property
    def study(self) -> optuna.Study:
        """The study; ``open`` comes first."""
        if self._study is None:
            raise ValueError("the journal is not open")
        return self._study

    def finish(self, destination: Path) -> None:
        """Move the journal of a search that is over to its run. The next search begins a new one."""
        destination.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(self.path, destination)

    def _opened(self) -> optuna.Study:
        import optuna
        from optuna.storages import JournalStorage
        from optuna.storages.journal import JournalFileBackend
        from optuna.trial import TrialState

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        study = optuna.create_study(
            study_name=_STUDY,
            storage=JournalStorage(JournalFileBackend(str(self.path))),
            directions=["maximize", "maximize"],
            sampler=optuna.samplers.TPESampler(seed=self.seed, n_startup_trials=_STARTUP),
            load_if_exists=True,
        )
        for trial in study.trials:
            if trial.state in (TrialState.RUNNING, TrialState.WAITING):
                study.tell(trial.number, state=TrialState.FAIL)  # it was stopped in the middle: its candidate waits
            elif (known := _known(trial.user_attrs)) is not None:
                self.ended[known[0]] = known[1]
                self.samples += [trial.params] if trial.params else []
        return study


def _known(facts: Mapping[str, Any]) -> tuple[str, SearchTrial] | None:
    """The identity and the trial that a journal's entry keeps; None where it keeps none, or one of another version."""
    problems: list[str] = []
    trial = fitted(facts.get(_TRIAL), SearchTrial, _TRIAL, problems)
    identity = facts.get(_IDENTITY)
    return None if problems or not isinstance(identity, str) else (identity, trial)


def _values(trial: SearchTrial) -> list[float] | None:
    """The objectives: the log of the speed-up, and the change of accuracy. None where one is not known."""
    if trial.speed is None or trial.drift is None:
        return None
    return [math.log(trial.speed.value), trial.drift.delta]
