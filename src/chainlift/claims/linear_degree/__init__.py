"""The claim linear-degree."""
