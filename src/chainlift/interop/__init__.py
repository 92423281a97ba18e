"""Export to other programs: models with cards, and data sets with rewards."""
