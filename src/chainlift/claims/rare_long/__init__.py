"""The claim rare-long."""
