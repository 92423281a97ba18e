"""What stages and quantities are called, in the terminal and on the page."""

from __future__ import annotations

STAGE_TITLES = {
    "pretrain": "next-token prediction",
    "posttrain": "reinforcement learning",
    "continued_pretrain": "next-token prediction goes on",
}

QUANTITIES = (
    ("greedy_accuracy", "greedy accuracy"),
    ("greedy_length_median", "greedy length (median)"),
    ("sampled_accuracy", "sampled accuracy"),
    ("sampled_long_share", "sampled long share"),
)
