"""`python -m esr_ray.upscale`: pictures of people, of whatever kind, made larger by a trained network."""
