"""Reproduce claims: make the missing runs of all of them in one sweep, then judge each claim."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from chainlift.claims import outcome as outcomes
from chainlift.claims.claim import Claim
from chainlift.claims.finished import finished
from chainlift.report.claim_outcome import Outcome
from chainlift.report.terminal.reporter import Reporter
from chainlift.stages.recipe import Recipe
from chainlift.sweep import grid
from chainlift.sweep.launchers import Options
from chainlift.visible import one_line

QUICK_SEEDS = 3


def reproduce(
    claims: Sequence[Claim],
    out: Path,
    reporter: Reporter,
    options: Options,
    *,
    seeds: Sequence[int] | None = None,
    quick: bool = False,
    on_outcome: Callable[[Outcome], None] = lambda outcome: None,
) -> list[str]:
    """Judge claims by their runs, made here if missing; returns the names of claims that could not be judged.

    A claim cannot be judged if one of its runs, or its check, fails. seeds: replace each claim's own. quick: small runs
    of the same shape. on_outcome: receives each outcome, which is also written under out/claims. ValueError for fewer
    than two seeds, as intervals are over seeds. Interrupted after Ctrl-C; the same call goes on.
    """
    by_claim = needed_recipes(claims, seeds=seeds, quick=quick)
    grid.run_all(distinct_recipes(by_claim), out, reporter, options)
    failed = []
    for claim in claims:
        recipes = by_claim[claim.name]
        done = [run for run in (finished(recipe, out) for recipe in recipes) if run is not None]
        if len(done) < len(recipes):
            reporter.say(f"{claim.name}: {len(recipes) - len(done)} of {len(recipes)} runs failed; nothing is claimed")
            failed.append(claim.name)
            continue
        try:
            outcome = outcomes.judge(claim, done, quick=quick)
            outcomes.write(outcome, out)
        except OSError:
            raise
        except Exception as error:  # a bug in one claim's check or figure must not cost the results of the others
            file = outcomes.keep_error(claim, error, out, quick=quick)
            reason = one_line(str(error), longest=200)
            reporter.say(f"{claim.name}: cannot be judged: {type(error).__name__}: {reason}; see {file}")
            failed.append(claim.name)
            continue
        on_outcome(outcome)
    return failed


def needed_recipes(
    claims: Sequence[Claim], *, seeds: Sequence[int] | None = None, quick: bool = False
) -> dict[str, list[Recipe]]:
    """{claim's name: the recipes that it needs}; ValueError for fewer than two seeds."""
    if seeds is not None and len(set(seeds)) < 2:
        raise ValueError("--seeds: a claim needs at least two seeds, as its intervals are over seeds")
    return {claim.name: claim.runs(seeds or claim.seeds[: QUICK_SEEDS if quick else None], quick) for claim in claims}


def distinct_recipes(by_claim: Mapping[str, Sequence[Recipe]]) -> list[Recipe]:
    """The recipes of all claims, each once: claims share runs."""
    return list({recipe.run_id: recipe for recipes in by_claim.values() for recipe in recipes}.values())
