"""Asks the rules of a search which chains are worth a try, and the runtimes which targets run here."""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.inspection.inspection import Chain, Runtime
from pipeline.plan import Plan, Variant
from pipeline.search.facts import Facts
from pipeline.search.rules import left_out
from pipeline.search.space import plain_candidate


def chains(plan: Plan, facts: Facts, about: Mapping[str, str]) -> list[Chain]:
    """A verdict on each variant; ``about`` says what each does."""
    return [_chain(variant, plan, facts, about.get(variant.name, "")) for variant in plan.variants.values()]


def runtimes(plan: Plan, facts: Facts) -> list[Runtime]:
    """Each target, and whether it runs here."""
    return [
        Runtime(
            name=target.name,
            backend=target.backend.name,
            device=target.device,
            threads=target.threads,
            runs=target.name not in facts.unavailable,
            reason=facts.unavailable.get(target.name),
        )
        for target in plan.targets.values()
    ]


def _chain(variant: Variant, plan: Plan, facts: Facts, about: str) -> Chain:
    candidates = {name: plain_candidate(variant, target) for name, target in plan.targets.items()}
    reasons = {name: left_out(candidate, facts) for name, candidate in candidates.items()}
    worth = [name for name, reason in reasons.items() if reason is None]
    here = [name for name in candidates if name not in facts.unavailable] or list(candidates)
    buildable = [name for name in here if left_out(candidates[name], facts, rules=False) is None]
    place = (buildable or here)[0]
    return Chain(
        name=variant.name,
        about=about,
        stages=list(variant.stages),
        verdict="try" if worth else "cannot pay" if buildable else "cannot",
        targets=worth,
        reason=None if worth else reasons[place],
    )
