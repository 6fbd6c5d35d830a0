"""Tasks: what the networks are for, and which pictures they see. Super-resolution is the one that there is."""
