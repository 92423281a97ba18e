"""Offline HTML pages: of a run, and of a folder of results."""
