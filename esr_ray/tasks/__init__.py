"""Tasks: what the networks are for, and which pictures they see."""
