"""HOW it learns: pure pieces, no loop over a run, no files."""
