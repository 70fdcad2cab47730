"""Densities of numbers that are about standard normal: flows of sbi, or heads of one pass."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from sbi.neural_nets.estimators import ConditionalDensityEstimator

    from bayesesi.spec.estimator import Density

_SPLINES, _BOUND = 8, 5.0


def flow_of(
    estimator: Density, hidden: int, transforms: int, n: int, n_context: int
) -> ConditionalDensityEstimator:
    """Make a density of ``n`` numbers given ``n_context``; weights from the generator of torch.

    ``estimator`` names a flow of sbi or a head of one pass, ``hidden`` is the width of its layers,
    ``transforms`` how many follow each other.
    """
    from sbi.neural_nets.net_builders.flow import (
        build_maf,
        build_nsf,
        build_zuko_maf,
        build_zuko_nsf,
    )

    from bayesesi.estimator.one_pass import OnePass

    if estimator in ("gaussian", "evidential"):
        return OnePass(estimator, hidden, n, n_context)
    sizes: dict[str, Any] = {
        "hidden_features": hidden,
        "num_transforms": transforms,
        "z_score_x": "none",
        "z_score_y": "none",
    }
    like = torch.zeros(2, n), torch.zeros(2, n_context)
    if estimator == "zuko_nsf":  # in two passes: coupled halves, quick both ways
        return build_zuko_nsf(*like, num_bins=_SPLINES, passes=2, **sizes)
    if estimator == "zuko_maf":
        return build_zuko_maf(*like, passes=2, **sizes)
    if estimator == "nsf":
        return build_nsf(*like, num_bins=_SPLINES, tail_bound=_BOUND, **sizes)
    return build_maf(*like, **sizes)
