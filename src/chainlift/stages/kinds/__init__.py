"""The kinds of stages that ship: a file each, found by its name (kind_registry.py)."""
