"""Ray, and only here: devices, the driver and evaluator actors, the final task, and the client that follows them."""
