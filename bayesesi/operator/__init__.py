"""The whitened lead field as a linear operator, and its regularised inverse."""

from bayesesi.operator.whitened import WhitenedOperator, principal_axes

__all__ = ["WhitenedOperator", "principal_axes"]
