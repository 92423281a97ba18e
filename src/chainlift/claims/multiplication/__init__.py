"""The claim multiplication."""
