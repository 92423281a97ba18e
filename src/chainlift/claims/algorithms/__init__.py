"""The claim algorithms."""
