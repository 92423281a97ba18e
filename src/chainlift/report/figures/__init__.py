"""Figures: defined as data, drawn for print and for pages."""
