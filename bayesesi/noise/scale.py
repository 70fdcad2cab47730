"""The scale of noise about its stated covariance, which models integrate."""

from __future__ import annotations

#: Degrees of freedom nu of the scale tau, tau² ~ nu / chi²_nu: log tau has an sd of about .2.
NOISE_DOF = 12.0
