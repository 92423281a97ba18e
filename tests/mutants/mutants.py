"""All seeded mutants: for every room of src/chainlift some that a careless change would make."""

from __future__ import annotations

from pathlib import Path

from tests.mutants import of_learning, of_runs, of_science

ROOT = Path(__file__).parents[2]
MUTANTS = {one.name: one for one in (*of_science.MUTANTS, *of_learning.MUTANTS, *of_runs.MUTANTS)}
