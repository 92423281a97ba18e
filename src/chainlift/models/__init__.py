"""WHO learns."""
