"""A number a source as a picture: right sizes are drawn, others are one sentence."""

from __future__ import annotations

import numpy as np
import pytest

import bayesesi
from bayesesi.errors import InputError


@pytest.mark.parametrize("n", [1284, 5124, 20484])
def test_a_map_of_any_level_is_drawn(n: int) -> None:
    values = np.linspace(0, 1, n)
    figure = bayesesi.plot_map(values, "x, nAm", outline=values > 0.9)
    assert len(figure.axes) == 5
    assert "x, nAm" in figure.axes[-1].get_xlabel()
    assert len(bayesesi.plot_map(np.zeros(n)).axes) == 5


def test_other_numbers_are_refused() -> None:
    for wrong in (np.ones(5), np.ones((5124, 2))):
        with pytest.raises(InputError, match="a number for each of"):
            bayesesi.plot_map(wrong)
    for wrong in (np.full(5124, np.nan), -np.ones(5124)):
        with pytest.raises(InputError, match="finite numbers from 0 up"):
            bayesesi.plot_map(wrong)
