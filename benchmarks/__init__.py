"""Speed of what `chainlift bench` does not time."""
