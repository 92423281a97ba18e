"""the loops of a run, read top to bottom."""
