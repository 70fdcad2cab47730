"""The activity of parcels is asked about on the same cases as the field."""

from bayesesi.training.cases.diffusion import FieldCases

__all__ = ["FieldCases"]
