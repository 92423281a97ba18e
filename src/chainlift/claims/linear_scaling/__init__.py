"""The claim linear-scaling."""
