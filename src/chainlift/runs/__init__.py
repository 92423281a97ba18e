"""Run folders: records, checkpoints, locks, progress, trackers."""
