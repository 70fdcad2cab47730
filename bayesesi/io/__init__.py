"""Files: written whole or not at all, and long work kept piece by piece."""
