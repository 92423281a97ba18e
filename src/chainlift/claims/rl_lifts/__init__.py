"""The claim rl-lifts."""
