"""Losses, rollouts, advantages, objectives and optimizers: functions that neither loop over a run nor write files."""
