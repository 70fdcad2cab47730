"""Sensitivity of an answer to data and assumptions."""
