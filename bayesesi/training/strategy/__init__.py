"""How cases become a training, one strategy a file."""
