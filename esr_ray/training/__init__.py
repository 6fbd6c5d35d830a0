"""Training and measuring one network: step, schedule, fitness, checkpoints."""
