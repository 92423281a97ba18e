"""Claims: a folder for each, with its predictions, its table of checks, its recipe and its figure."""

from chainlift.claims.check import P_COT, RL_UPDATES, Axis, Check, P, Place, having
from chainlift.claims.claim import Claim
from chainlift.claims.finished import Finished, by_seed, cross, setting_of, summary_value
from chainlift.claims.grid import QUICK_SUMS, Grid, each_of
from chainlift.claims.threshold_fit import FIRST_LEAD, GO_ON, LONG_OPENING, Threshold

__all__ = ["FIRST_LEAD", "GO_ON", "P_COT", "QUICK_SUMS", "RL_UPDATES", "Axis", "Check", "Claim", "Finished", "Grid"]
__all__ += [
    "LONG_OPENING",
    "P",
    "Place",
    "Threshold",
    "by_seed",
    "cross",
    "each_of",
    "having",
    "setting_of",
    "summary_value",
]
