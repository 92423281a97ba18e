"""Claims from a name to a verdict: the runs that they lack are made, all together, then each claim is judged."""

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
    chosen: Sequence[Claim],
    out: Path,
    reporter: Reporter,
    options: Options,
    *,
    seeds: Sequence[int] | None = None,
    quick: bool = False,
    tell: Callable[[Outcome], None] = lambda outcome: None,
) -> list[str]:
    """The names of claims that could not be judged, because a run of theirs failed or their check did; `tell` receives
    the outcome of every other one.

    seeds: instead of each claim's own. quick: small runs of the same shape. Outcomes are also written under out/claims.
    ValueError for fewer than two seeds, as intervals are over seeds. Interrupted after Ctrl-C: the same call
    goes on.
    """
    wanted = needed(chosen, seeds=seeds, quick=quick)
    grid.run_all(all_of(wanted), out, reporter, options)
    failed = []
    for claim in chosen:
        recipes = wanted[claim.name]
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
        except Exception as error:  # a bug in one claim's check or figure must not take the others' results away
            where = outcomes.keep_error(claim, error, out, quick=quick)
            reason = one_line(str(error), longest=200)
            reporter.say(f"{claim.name}: cannot be judged: {type(error).__name__}: {reason}; see {where}")
            failed.append(claim.name)
            continue
        tell(outcome)
    return failed


def needed(
    chosen: Sequence[Claim], *, seeds: Sequence[int] | None = None, quick: bool = False
) -> dict[str, list[Recipe]]:
    """The recipes that each claim needs, by its name; ValueError for fewer than two seeds."""
    if seeds is not None and len(set(seeds)) < 2:
        raise ValueError("--seeds: a claim needs at least two seeds, as its intervals are over seeds")
    return {claim.name: claim.runs(seeds or claim.seeds[: QUICK_SEEDS if quick else None], quick) for claim in chosen}


def all_of(wanted: Mapping[str, Sequence[Recipe]]) -> list[Recipe]:
    """The recipes of all claims, each once, as claims share runs."""
    return list({recipe.run_id: recipe for recipes in wanted.values() for recipe in recipes}.values())
