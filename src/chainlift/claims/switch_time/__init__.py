"""The claim switch-time."""
