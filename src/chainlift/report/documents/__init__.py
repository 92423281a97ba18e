"""Markdown: the document of results, and tables for cards."""
