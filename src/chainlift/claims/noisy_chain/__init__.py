"""The claim noisy-chain."""
