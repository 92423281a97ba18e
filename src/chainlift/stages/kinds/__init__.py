"""The shipped kinds of stages, one file each, found by name (kind_registry.py)."""
