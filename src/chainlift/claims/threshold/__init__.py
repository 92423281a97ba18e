"""The claim threshold."""
