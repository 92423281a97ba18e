"""The claim linear-star."""
