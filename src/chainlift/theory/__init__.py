"""Predictions in closed form, without PyTorch."""
