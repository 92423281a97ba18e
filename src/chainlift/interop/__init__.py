"""What is taken to other programs: checkpoints with cards, and data sets."""
