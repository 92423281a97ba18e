"""Speed and memory: the engine against its peers and against the machine's limit."""
