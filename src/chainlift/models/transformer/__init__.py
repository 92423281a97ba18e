"""The decoder-only transformer: blocks, attention, decoding."""
