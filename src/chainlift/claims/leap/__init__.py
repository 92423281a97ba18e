"""The claim leap."""
