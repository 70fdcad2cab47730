"""The whitened operator: an adjoint, an inverse against dense solves, rows of several recordings.

Nothing here is a statistical test: numbers are drawn with fixed seeds, in double precision, and
agree to rounding.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from bayesesi import InputError
from bayesesi.operator import WhitenedOperator

N, S, B, Q = 9, 40, 3, 2


def leadfield(seed: int, n: int = N, axes: int = 1) -> NDArray[np.float64]:
    """Sources of very different gain, 1/(A m)."""
    rng = np.random.default_rng(seed)
    shape = (n, S) if axes == 1 else (n, S, axes)
    gain = 10 ** rng.uniform(6, 9, S)
    return rng.standard_normal(shape) * (gain if axes == 1 else gain[:, None])


def rotation(seed: int, n: int) -> NDArray[np.float64]:
    return np.linalg.qr(np.random.default_rng(seed).standard_normal((n, n)))[0]


def numbers(*shape: int, seed: int = 3) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def noise(seed: int = 5) -> Tensor:
    return numbers(B, Q, seed=seed).exp()


def variance(seed: int = 6, n: int = S) -> Tensor:
    return numbers(n, B, Q, seed=seed).exp()


def dense_inverse(a: Tensor, u: Tensor, nu: Tensor, d: Tensor) -> Tensor:
    """D A' (A D A' + nu I)^-1 u, one case and course after the other."""
    out = torch.empty(a.shape[1], *u.shape[1:], dtype=a.dtype)
    for b in range(u.shape[1]):
        for q in range(u.shape[2]):
            prior = torch.diag(d[:, b, q])
            covariance = a @ prior @ a.T + nu[b, q] * torch.eye(len(a), dtype=a.dtype)
            out[:, b, q] = prior @ a.T @ torch.linalg.inv(covariance) @ u[:, b, q]
    return out


OPERATORS: dict[str, Callable[[], WhitenedOperator]] = {
    "fixed": lambda: WhitenedOperator.of(leadfield(0)),
    "free": lambda: WhitenedOperator.of(leadfield(0, axes=3)),
    "principal": lambda: WhitenedOperator.of(leadfield(0)).principal(6),
    "stacked": lambda: WhitenedOperator.stack(
        *(WhitenedOperator.of(leadfield(k, n)) for k, n in ((0, 5), (1, 4)))
    ),
}


@pytest.fixture(params=OPERATORS)
def operator(request: pytest.FixtureRequest) -> WhitenedOperator:
    return OPERATORS[request.param]()


def adjoint_error(operator: WhitenedOperator, back: Callable[[Tensor], Tensor]) -> float:
    x = numbers(operator.n_sources, B, Q)
    u = numbers(operator.n_rows, B, Q, seed=4)
    ahead = (operator.A(x) * u).sum(0)
    return float((ahead - (x * back(u)).sum(0)).abs().max() / ahead.abs().max())


def test_the_adjoint_is_one(operator: WhitenedOperator) -> None:
    """<A x, u> = <x, A' u>."""
    assert adjoint_error(operator, operator.A_adjoint) < 1e-12


def test_another_map_back_is_no_adjoint(operator: WhitenedOperator) -> None:
    """The twin: the minimum norm in place of A'."""
    assert adjoint_error(operator, lambda u: operator.A_dagger(u, noise())) > 1e-2


def test_the_inverse_is_that_of_a_dense_solve(operator: WhitenedOperator) -> None:
    u, d = numbers(operator.n_rows, B, Q), variance(n=operator.n_sources)
    found = operator.A_dagger(u, noise(), d)
    torch.testing.assert_close(found, dense_inverse(operator.rows, u, noise(), d))
    wrong = dense_inverse(operator.rows, u, noise(), d.sqrt())  # the twin: sd for variance
    assert (found - wrong).norm() > 0.1 * found.norm()


def test_unit_variance_is_the_minimum_norm(operator: WhitenedOperator) -> None:
    """Which is that least x'x + |u - A x|² / nu has; the twin asks it of another variance."""
    u, a, nu = numbers(operator.n_rows, B, Q), operator.rows, noise()
    ones = torch.ones(operator.n_sources, B, Q, dtype=torch.float64)
    found = operator.A_dagger(u, nu)
    torch.testing.assert_close(found, operator.A_dagger(u, nu, ones))

    def gradient(x: Tensor) -> Tensor:
        return x - operator.A_adjoint(u - operator.A(x)) / nu

    assert gradient(found).abs().max() < 1e-9
    assert gradient(operator.A_dagger(u, nu, 2 * ones)).abs().max() > 1e-2
    assert torch.linalg.matrix_rank(a) == len(a)


def test_the_factor_is_that_of_the_covariance_of_the_data(operator: WhitenedOperator) -> None:
    d, nu = variance(n=operator.n_sources), noise()
    lower = operator.factor(nu, d)
    covariance = torch.einsum("ms,sbq,ns->bqmn", operator.rows, d, operator.rows)
    covariance = covariance + nu[..., None, None] * torch.eye(operator.n_rows, dtype=torch.float64)
    torch.testing.assert_close(lower @ lower.transpose(2, 3), covariance)
    other = operator.factor(2 * nu, d)
    assert (other @ other.transpose(2, 3) - covariance).abs().max() > 0.1


def test_columns_have_unit_length() -> None:
    """The twin: after directions were left out they are shorter."""
    for name in ("fixed", "stacked"):
        length = OPERATORS[name]().rows.square().sum(0)
        torch.testing.assert_close(length, torch.ones(S, dtype=torch.float64))
    free = OPERATORS["free"]().rows.square().sum(0).view(S, 3).mean(1)
    torch.testing.assert_close(free, torch.ones(S, dtype=torch.float64))
    assert (OPERATORS["principal"]().rows.square().sum(0) < 1 - 1e-3).all()


def test_moments_predict_what_the_lead_field_does(operator: WhitenedOperator) -> None:
    moments = 1e-9 * numbers(operator.n_sources, B, Q)
    x = operator.standardised(moments)
    torch.testing.assert_close(operator.moments(x), moments)
    known = {"fixed": leadfield(0), "free": leadfield(0, axes=3).reshape(N, -1)}
    for name, dense in known.items():
        if operator.rows.equal(OPERATORS[name]().rows):
            seen = torch.from_numpy(dense) @ moments.flatten(1)
            torch.testing.assert_close(operator.A(x).flatten(1), seen)


@pytest.mark.parametrize("most", [N, 6])
def test_a_turn_of_the_whitened_space_changes_nothing(most: int) -> None:
    """Nor does it where directions are left out; the twin turns the lead field and not the data."""
    turn, data = rotation(7, N), np.random.default_rng(8).standard_normal((B, N, Q))
    plain = WhitenedOperator.of(leadfield(0)).principal(most)
    turned = WhitenedOperator.of(turn @ leadfield(0)).principal(most)
    u = plain.turned(torch.from_numpy(data))
    same = turned.turned(torch.from_numpy(turn @ data))
    d, nu = variance(), noise()
    found = plain.A_dagger(u, nu, d)
    torch.testing.assert_close(turned.A_dagger(same, nu, d), found)
    torch.testing.assert_close(turned.gain, plain.gain)
    wrong = turned.turned(torch.from_numpy(data))
    assert (turned.A_dagger(wrong, nu, d) - found).norm() > 0.1 * found.norm()


def test_principal_rows_are_orthogonal_and_the_strongest() -> None:
    whole = WhitenedOperator.of(leadfield(0))
    kept = whole.principal(6)
    gram = kept.rows @ kept.rows.T
    power = torch.linalg.eigvalsh(whole.rows @ whole.rows.T).flip(0)
    torch.testing.assert_close(gram, torch.diag(power[:6]))
    torch.testing.assert_close(kept.turn @ kept.turn.T, torch.eye(6, dtype=torch.float64))
    other = whole.rows[:6] @ whole.rows[:6].T  # the twin: any six
    assert (other - torch.diag(other.diagonal())).abs().max() > 1e-2


def test_turned_axes_of_free_sources_turn_the_answer() -> None:
    """The twin divides each column by its own length, as of a fixed source."""
    plain, axes = leadfield(0, axes=3), rotation(9, 3)
    u, nu = numbers(N, B, Q), noise()

    def answer(leadfield: NDArray[np.float64]) -> Tensor:
        operator = WhitenedOperator.of(leadfield)
        return operator.moments(operator.A_dagger(u, nu)).view(S, -1, B, Q)

    turn = torch.from_numpy(axes)
    turned = torch.einsum("ji,sjbq->sibq", turn, answer(plain))
    torch.testing.assert_close(answer(plain @ axes), turned)
    fixed = [each.reshape(N, -1) for each in (plain, plain @ axes)]
    before, after = (answer(each).view(S, 3, B, Q) for each in fixed)
    assert (after - torch.einsum("ji,sjbq->sibq", turn, before)).norm() > 1e-2 * after.norm()


def log_likelihood(operator: WhitenedOperator, u: Tensor, nu: Tensor, d: Tensor) -> Tensor:
    """(B, Q) log N(u; 0, A D A' + nu I), without the constant."""
    lower = operator.factor(nu, d)
    z = torch.linalg.solve_triangular(lower, u.permute(1, 2, 0)[..., None], upper=False)
    return -0.5 * z.square().sum((2, 3)) - lower.diagonal(dim1=2, dim2=3).log().sum(2)


def test_a_stack_has_the_rows_and_the_likelihood_of_its_parts() -> None:
    """EEG and MEG, the noise of the second 1.7 times what it states; the twin forgets that."""
    dense, scales = [leadfield(0, 5), 30 * leadfield(1, 4)], (1.0, 1.7)
    parts = [WhitenedOperator.of(each) for each in dense]
    stack = WhitenedOperator.stack(*parts, scales=scales)
    one = WhitenedOperator.of(np.concatenate([dense[0], dense[1] / 1.7]))
    torch.testing.assert_close(stack.rows, one.rows)
    torch.testing.assert_close(stack.gain, one.gain)
    torch.testing.assert_close(stack.turn, torch.eye(N, dtype=torch.float64))
    # given one field of moments the recordings are independent
    moments, u, nu = 1e-9 * numbers(S, B, Q), numbers(N, B, Q, seed=11), noise()
    scaled = torch.cat([u[:5], u[5:] / 1.7])
    each = [
        (own - part.A(part.standardised(moments))).square().sum(0) / scale**2
        for own, part, scale in zip((u[:5], u[5:]), parts, scales, strict=True)
    ]
    joint = (scaled - stack.A(stack.standardised(moments))).square().sum(0)
    torch.testing.assert_close(joint, each[0] + each[1])
    found = log_likelihood(stack, scaled, nu, variance())
    torch.testing.assert_close(found, log_likelihood(one, scaled, nu, variance()))
    forgotten = WhitenedOperator.stack(*parts)
    assert (log_likelihood(forgotten, u, nu, variance()) - found).abs().max() > 0.1


def test_an_operator_is_cast_once_and_moved_as_a_module() -> None:
    operator = WhitenedOperator.of(leadfield(0)).float()
    assert operator.rows.dtype == operator.gain.dtype == torch.float32
    assert not operator.state_dict()
    assert operator.copied_to("cpu").rows.equal(operator.rows)
    assert operator.to("meta").rows.device.type == "meta"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: WhitenedOperator.of(np.ones(4)), "is \\(n_eff, sources\\)"),
        (lambda: WhitenedOperator.of(np.ones((4, 5, 2))), "is \\(n_eff, sources\\)"),
        (lambda: WhitenedOperator.of(np.eye(4, 5)), "1 columns of the lead field"),
        (lambda: WhitenedOperator.of(np.full((4, 5), np.nan)), "5 columns"),
        (lambda: WhitenedOperator.stack(), "the same sources, not none"),
        (
            lambda: WhitenedOperator.stack(
                WhitenedOperator.of(np.ones((2, 3))), WhitenedOperator.of(np.ones((2, 4)))
            ),
            "not 3, 4",
        ),
        (
            lambda: WhitenedOperator.stack(WhitenedOperator.of(np.ones((2, 3))), scales=(0.0,)),
            "one positive scale",
        ),
    ],
)
def test_what_is_no_operator_is_one_sentence(wrong: Callable[[], object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        wrong()
