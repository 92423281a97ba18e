"""Speed, as ratios to peers; see engine.py."""
