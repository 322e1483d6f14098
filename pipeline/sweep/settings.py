"""What differs between the jobs of a sweep, and which of them differ in their seed only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pipeline.sweep.found import Job

SEED = "seed"


def varied(jobs: Sequence[Job]) -> dict[str, list[str]]:
    """The settings that differ between the jobs, each with its values in the order in which they come."""
    keys = dict.fromkeys(key for job in jobs for key in job.settings)
    values = {key: list(dict.fromkeys(job.settings.get(key, "") for job in jobs)) for key in keys}
    return {key: found for key, found in values.items() if len(found) > 1}


def settings_of(job: Job, keys: Mapping[str, object]) -> dict[str, str]:
    """A job's values of the settings that differ."""
    return {key: job.settings[key] for key in keys if key in job.settings}


def is_seed(key: str) -> bool:
    """Whether a setting is a seed: ``seed`` itself, or one of a stage or of the data."""
    return key.rpartition(".")[2] == SEED


def but_seeds(settings: Mapping[str, str]) -> dict[str, str]:
    """The settings without the seeds."""
    return {key: value for key, value in settings.items() if not is_seed(key)}


def in_words(settings: Mapping[str, str]) -> str:
    """Settings as they are typed."""
    return " ".join(f"{key}={value}" for key, value in settings.items())
