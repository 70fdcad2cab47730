"""Benchmarks: tasks, measures, and the methods that are compared."""
