"""The search space: blocks, genomes, decoding, exact counts and budgets. Pure Python and NumPy."""
