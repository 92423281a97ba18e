"""The claim reweighting."""
