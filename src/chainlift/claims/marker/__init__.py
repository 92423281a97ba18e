"""The claim marker."""
