"""What a reader sees. Nothing is computed here that is not drawn or worded."""
