"""Speed and memory: the engine against its peers, against itself without a saving, and against the machine's limit."""
