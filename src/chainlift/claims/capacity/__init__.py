"""The claim capacity."""
