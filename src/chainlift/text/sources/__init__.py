"""Sources of problems: published ones, generated ones, and a user's own file."""
