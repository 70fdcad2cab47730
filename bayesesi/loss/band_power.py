"""Power of the posterior mean by frequency."""

from __future__ import annotations

import torch
from torch import Tensor

from bayesesi.loss.base import Loss, Question
from bayesesi.loss.mean_field import mean_and_truth, over_time
from bayesesi.registry import implements
from bayesesi.spec.loss import BandPowerSpec


@implements(BandPowerSpec)
class BandPowerLoss(Loss):
    """(|F D(t)|² - |F x(t)|²)², powers summed over sources, the truth's total being 1.

    F is the Fourier transform in time, by frequency.
    """

    def forward(self, question: Question) -> Tensor:
        mean, truth, scene = mean_and_truth(question)
        functions = question.case.truth.functions
        fields = [over_time(field, scene, functions) for field in (mean, truth)]
        total = fields[1].square().sum((0, 2)).clamp(min=1e-8)[:, None]
        spectra = [torch.fft.rfft(f, dim=2, norm="ortho").abs().square().sum(0) for f in fields]
        return ((spectra[0] - spectra[1]) / total).square().mean(1)
