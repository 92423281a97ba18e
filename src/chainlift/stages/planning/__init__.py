"""Plans of a run: its memory, its time, and theory's predictions of its results."""
