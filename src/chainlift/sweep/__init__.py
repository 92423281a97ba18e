"""Sweeps: grids of recipes, the launchers that run them, and the runs that claims need."""
