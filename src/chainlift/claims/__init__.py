"""What is predicted and measured: a folder for each claim, with its table of checks, its recipe and its figure."""
