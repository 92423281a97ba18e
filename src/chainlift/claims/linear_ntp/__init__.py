"""The claim linear-ntp."""
