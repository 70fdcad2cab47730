"""Errors of maps, peaks and sets against a truth."""
