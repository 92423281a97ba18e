"""Pure pieces of training: losses, rollouts, advantages, objectives, optimizers; no loop over a run, no files."""
