"""Kinds of stages, whose loops read top to bottom; the recipe, and the pipeline that carries it out."""
