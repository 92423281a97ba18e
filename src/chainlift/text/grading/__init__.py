"""Graders of answers in words: numbers as exact fractions, formulas by math-verify."""
