"""What is done with trained networks: finding, loading, measuring and comparing them."""
