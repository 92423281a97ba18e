"""Many runs: grids of recipes, and the claims that they decide."""
