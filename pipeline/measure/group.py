"""What is measured in the same rounds."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass

from pipeline.artifact import Artifact
from pipeline.data.dataset import Feed
from pipeline.measure.workers.worker import Job
from pipeline.plan import Target
from pipeline.results.record import CLONE


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """One variant on one target at one batch size."""

    key: str
    artifact: Artifact
    target: Target
    batch_size: int
    feed: Feed | None = None
    """The input of a model that reads another than the rest; None: the one of its batch size."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """What is measured in the same rounds."""

    jobs: Mapping[str, Job]
    pairs: Mapping[str, str]
    """The reference of each subject that has one, and of each clone."""

    @property
    def racers(self) -> list[str]:
        """The subjects that are compared with another, and that no other is compared with."""
        references = set(self.pairs.values())
        return [key for key in self.pairs if key not in references and not key.startswith(CLONE)]

    def without(self, gone: Container[str]) -> Group:
        """The group without those that have failed, say."""
        return Group(
            jobs={key: job for key, job in self.jobs.items() if key not in gone},
            pairs={key: other for key, other in self.pairs.items() if key not in gone and other not in gone},
        )


def group_of(
    subjects: Sequence[Subject],
    references: Mapping[str, str],
    clones: Sequence[str],
    feeds: Mapping[int, Feed],
    more: Mapping[int, Sequence[Feed]],
    limit_s: float,
) -> Group:
    """The jobs of some subjects and of their clones, and what each is compared with."""
    jobs = {
        subject.key: Job(
            artifact=subject.artifact,
            target=subject.target,
            feed=feeds[subject.batch_size] if subject.feed is None else subject.feed,
            limit_s=limit_s,
            more=tuple(more.get(subject.batch_size, ())) if subject.feed is None else (),
        )
        for subject in subjects
    }
    pairs = {key: references[key] for key in jobs if key in references and references[key] in jobs}
    pairs = {key: reference for key, reference in pairs.items() if key != reference}
    return Group(
        jobs={**jobs, **{CLONE + key: jobs[key] for key in clones}},
        pairs={**pairs, **{CLONE + key: key for key in clones}},
    )
