"""Why this answer, and what would change it."""
