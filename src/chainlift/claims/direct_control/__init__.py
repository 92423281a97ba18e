"""The claim direct-control."""
