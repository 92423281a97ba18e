"""Tasks of text: problems in words, their templates, demonstrations and graders; tasks/registry.py imports them."""
