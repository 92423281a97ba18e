"""The claim ntp-stalls."""
