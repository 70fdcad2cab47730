"""Focal source priors: marginals, density, blocks of randomness, and the fields of draws.

Statistical tests share n = 5,120 seeded cases and a false-alarm rate of 1e-4 each.
"""

from __future__ import annotations

import math

import numpy as np
import pyro
import pytest
import torch
from scipy import stats

from bayesesi.anatomy import template_parcellation
from bayesesi.errors import InputError
from bayesesi.prior import (
    FocalPrior,
    Placement,
    block_generator,
    distribution_of,
    placement_weights,
    read_prior,
)
from bayesesi.prior.blocks import NAMESPACES, block_seed
from bayesesi.spec import Quantity
from bayesesi.spec.source import Place

N, ALARM = 5120, 1e-4
QUANTITIES = [
    {"uniform": [1, 2]},
    {"loguniform": [1, 9]},
    {"normal": [0, 4]},
    {"normal": [0, 4], "within": [-2, 8]},
    {"lognormal": [60, 2]},
    {"lognormal": [60, 2], "within": [20, 100]},
]


@pytest.fixture(scope="module")
def focal() -> FocalPrior:
    return read_prior("focal", ico=3)


@pytest.fixture(scope="module")
def cases(focal: FocalPrior) -> dict[str, np.ndarray]:
    return focal.draw(N, seed=3)


@pytest.mark.parametrize("written", QUANTITIES)
def test_a_quantity_draws_from_its_own_density(written: dict[str, list[float]]) -> None:
    """Kolmogorov-Smirnov of 5,120 draws against the CDF integrated from log_prob."""
    law = distribution_of(Quantity.model_validate(written))
    with block_generator("train", 1, 0):
        draws = law.sample((N,)).double().numpy()
    low, high = Quantity.model_validate(written).bounds
    span = np.ptp(draws)
    ends = max(draws.min() - 1e-3 * span, low), min(draws.max() + 1e-3 * span, high)
    grid = np.linspace(*ends, 20_001)[1:-1]  # the ends themselves round in single precision
    density = law.log_prob(torch.tensor(grid, dtype=torch.float32)).exp().numpy()
    mass = np.concatenate([[0], np.cumsum((density[1:] + density[:-1]) / 2 * np.diff(grid))])
    assert mass[-1] == pytest.approx(1, abs=3e-3)
    assert stats.kstest(draws, lambda x: np.interp(x, grid, mass / mass[-1])).pvalue > ALARM
    assert stats.kstest(draws * 1.3, lambda x: np.interp(x, grid, mass / mass[-1])).pvalue < ALARM


def test_the_lognormal_has_its_median_and_factor() -> None:
    law = distribution_of(Quantity.model_validate({"lognormal": [60, 2]}))
    two_thirds = stats.norm.cdf(1) - stats.norm.cdf(-1)
    with block_generator("train", 2, 0):
        draws = law.sample((N,)).numpy()
    inside = ((draws > 30) & (draws < 120)).sum()
    assert stats.binomtest(int(inside), N, two_thirds).pvalue > ALARM


def test_counts_follow_the_declared_probabilities(
    focal: FocalPrior, cases: dict[str, np.ndarray]
) -> None:
    count = focal.spec.count
    wanted = np.array([count.null, *((1 - count.null) * np.array(count.weights))])
    seen = np.bincount(cases["count"], minlength=len(wanted))
    assert stats.chisquare(seen, wanted * N).pvalue > ALARM
    assert stats.chisquare(seen, np.roll(wanted, 1) * N).pvalue < ALARM


def test_first_centres_follow_area_and_miss_the_medial_wall(
    focal: FocalPrior, cases: dict[str, np.ndarray]
) -> None:
    parcellation = focal.parcellation
    labels = parcellation.labels[cases["centre"][:, 0]]
    assert (labels >= 0).all()
    seen = np.bincount(labels, minlength=68)
    share = parcellation.areas / parcellation.areas.sum()
    assert stats.chisquare(seen, share * N).pvalue > ALARM
    even = np.full(68, 1 / 68)
    assert stats.chisquare(seen, even * N).pvalue < ALARM


def test_centres_keep_their_distance(focal: FocalPrior, cases: dict[str, np.ndarray]) -> None:
    x = focal.source_space.positions[cases["centre"]]
    gaps = [np.linalg.norm(x[:, i] - x[:, j], axis=1) for i, j in ((0, 1), (0, 2), (1, 2))]
    assert min(gap.min() for gap in gaps) >= focal.spec.count.min_distance_mm * 1e-3


def test_placement_scores_what_it_draws() -> None:
    """Chi-square of second centres given one first centre against the density, which sums to 1."""
    parcellation = template_parcellation(1)
    weights = torch.tensor(placement_weights(Place(), parcellation), dtype=torch.float32)
    positions = torch.tensor(parcellation.source_space.positions, dtype=torch.float32)
    earlier = torch.full((N, 1), 5)
    law = Placement(weights, positions, earlier, 0.04)
    every = Placement(weights, positions, earlier[:84], 0.04).log_prob(torch.arange(84)).exp()
    assert every.sum().item() == pytest.approx(1, abs=1e-5)
    with block_generator("train", 4, 0):
        seen = np.bincount(law.sample().numpy(), minlength=84)
    possible = every.numpy() > 0
    assert seen[~possible].sum() == 0
    share = every.double().numpy()[possible]
    assert stats.chisquare(seen[possible], share / share.sum() * N).pvalue > ALARM


def test_a_place_without_room_is_one_sentence() -> None:
    parcellation = template_parcellation(1)
    weights = torch.tensor(placement_weights(Place(), parcellation), dtype=torch.float32)
    positions = torch.tensor(parcellation.source_space.positions, dtype=torch.float32)
    with block_generator("train", 0, 0), pytest.raises(InputError, match="min_distance_mm"):
        Placement(weights, positions, torch.zeros(3, 1, dtype=torch.long), 1.0).sample()


def test_depth_placement_is_flat_in_depth_and_area_placement_is_not() -> None:
    from scipy.spatial import ConvexHull

    parcellation = template_parcellation(4)
    x = parcellation.source_space.positions
    planes = ConvexHull(x).equations
    depth = -(x @ planes[:, :3].T + planes[:, 3]).max(axis=1)
    edges = np.quantile(depth, [0, 0.99])
    bins = np.linspace(*edges, 7)

    def spread(by: str) -> float:
        weight = placement_weights(Place(by=by), parcellation)
        mass = np.histogram(depth, bins, weights=weight)[0]
        return float(mass.max() / mass.min())

    assert spread("depth") < 1.5
    assert spread("area") > 3


def test_region_and_lobe_weights() -> None:
    parcellation = template_parcellation(3)
    only = placement_weights(Place(regions={"temporal": 1.0}, other_regions=0), parcellation)
    lobes = np.array([r.lobe for r in parcellation.regions])
    assert set(lobes[parcellation.labels[only > 0]]) == {"temporal"}
    less = placement_weights(
        Place(regions={"temporal": 1.0, "insula-lh": 3.0}, other_regions=0), parcellation
    )
    insula = parcellation.sources_of("insula-lh")
    temporal = [i for i in np.flatnonzero(less) if i not in insula]
    area = parcellation.source_space.areas
    assert less[insula].sum() / less[temporal].sum() == pytest.approx(
        3 * area[insula].sum() / area[temporal].sum()
    )
    with pytest.raises(InputError, match="did you mean 'temporal'"):
        placement_weights(Place(regions={"temporl": 1.0}), parcellation)


def test_case_k_is_the_same_for_any_shard(focal: FocalPrior) -> None:
    whole = focal.draw(700, seed=9)
    for start, stop in ((0, 1), (200, 600), (255, 257), (699, 700)):
        part = focal.draw(stop - start, seed=9, start=start)
        for name, value in part.items():
            np.testing.assert_array_equal(value, whole[name][start:stop])


def test_seeds_and_purposes_never_meet(focal: FocalPrior) -> None:
    """All block seeds of 6 purposes, 20 seeds and 200 blocks differ."""
    seeds = {block_seed(n, s, b) for n in NAMESPACES for s in range(20) for b in range(200)}
    assert len(seeds) == len(NAMESPACES) * 20 * 200
    train, bench = focal.draw(64), focal.draw(64, namespace="bench")
    assert (train["centre"][:, 0] != bench["centre"][:, 0]).mean() > 0.9
    assert block_seed("train", 0, 0) >> 64  # more than a generator's usual 32 or 64 bits
    with pytest.raises(InputError, match="namespace is one of"):
        focal.draw(1, namespace="test")


def test_a_block_holds_its_whole_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch's own seeding keeps 32 bits; uniformity of 5,120 draws at a false alarm of 1e-4."""
    from bayesesi.prior import blocks

    drawn = []
    for seed in (5, 5 + 2**32, 5 + 2**64):
        monkeypatch.setattr(blocks, "block_seed", lambda *a, seed=seed: seed)
        with block_generator("train", 0, 0):
            drawn.append(torch.rand(N).numpy())
    assert all((a != b).mean() > 0.99 for a, b in zip(drawn, drawn[1:] + drawn[:1], strict=True))
    assert all(stats.kstest(x, "uniform").pvalue > ALARM for x in drawn)
    assert max(abs(np.corrcoef(drawn)[np.triu_indices(3, 1)])) < 4 / N**0.5


def test_truncation_keeps_its_precision_in_the_tail() -> None:
    """Five sd out, 5,120 draws by Kolmogorov-Smirnov; a range with nothing in it is refused."""
    law = distribution_of(Quantity.model_validate({"normal": [0, 1], "within": [4, 8]}))
    with block_generator("train", 8, 0):
        draws = law.sample((N,)).double().numpy()
    assert stats.kstest(draws, stats.truncnorm(4, 8).cdf).pvalue > ALARM
    with pytest.raises(InputError, match="leaves less than"):
        distribution_of(Quantity.model_validate({"normal": [0, 1], "within": [6, 8]}))


def test_cases_without_an_event_have_an_empty_field(focal: FocalPrior) -> None:
    draws = {name: value[:2].copy() for name, value in focal.draw(2).items()}
    draws["count"][:] = 0
    assert focal.fields(draws).nnz == 0


def test_slots_that_are_not_used_stay_out_of_the_density(focal: FocalPrior) -> None:
    with block_generator("train", 5, 0):
        trace = pyro.poutine.trace(focal.pyro_program).get_trace(200)
        trace.compute_log_prob()
    count = trace.nodes["count"]["value"]
    for k in range(focal.n_slots):
        unused = count <= k
        assert (trace.nodes[f"centre_{k}"]["log_prob"][unused] == 0).all()
        assert (trace.nodes["moment_nAm"]["log_prob"][k][unused] == 0).all()
        assert (trace.nodes["extent_mm"]["log_prob"][k][~unused] != 0).all()


def test_conditioning_fixes_a_site_and_its_density_counts(focal: FocalPrior) -> None:
    one = pyro.condition(focal.pyro_program, data={"count": torch.ones(8, dtype=torch.long)})
    with block_generator("train", 6, 0):
        trace = pyro.poutine.trace(one).get_trace(8)
    assert (trace.nodes["count"]["value"] == 1).all()
    trace.compute_log_prob()
    wanted = math.log(0.9 * 0.6)
    assert trace.nodes["count"]["log_prob"].numpy() == pytest.approx(wanted, abs=1e-5)


def test_fields_have_the_drawn_moments(focal: FocalPrior, cases: dict[str, np.ndarray]) -> None:
    few = {name: value[:300] for name, value in cases.items()}
    total = np.asarray(focal.fields(few).sum(axis=1)).ravel() * 1e9
    used = np.arange(focal.n_slots) < few["count"][:, None]
    signed = few["moment_nAm"] * (2 * few["polarity"] - 1) * used
    np.testing.assert_allclose(total, signed.sum(axis=1), rtol=1e-4, atol=1e-4)
    assert focal.fields(few)[[i for i in range(300) if few["count"][i] == 0]].nnz == 0


@pytest.mark.parametrize(("profile", "reach"), [(0, 3.0), (1, 2.0), (2, 2.0 / 0.65)])
def test_patches_end_where_their_profile_says(
    focal: FocalPrior, profile: int, reach: float
) -> None:
    draws = {
        "count": np.array([1]),
        "centre": np.array([[40, 0, 0]]),
        "polarity": np.ones((1, 3)),
        "moment_nAm": np.full((1, 3), 10.0),
        "extent_mm": np.full((1, 3), 15.0),
        "profile": np.full((1, 3), profile),
        "edge": np.full((1, 3, 3), 0.7),
    }
    field = focal.fields(draws)
    distance = focal.source_space.geodesic([40])[0]
    assert distance[field.indices].max() <= reach * 0.015 + 1e-6
    density = field.data / focal.source_space.areas[field.indices]
    order = np.argsort(distance[field.indices])
    if profile == 0:
        assert (np.diff(density[order]) <= 1e-12).all()
    else:
        assert np.ptp(density) <= 1e-6 * density.max()
    if profile == 1:
        inside = (distance <= 0.03).sum()
        assert field.nnz == inside


def test_a_dipole_is_one_source() -> None:
    prior = read_prior("cortical-dipole", ico=3)
    draws = prior.draw(64)
    assert (np.diff(prior.fields(draws).indptr) == draws["count"]).all()


def test_draws_go_to_arviz(focal: FocalPrior) -> None:
    prior = focal.to_arviz(20).prior
    assert prior["centre"].dims == ("chain", "draw", "slot")
    assert prior.sizes["draw"] == 20


def test_a_simulator_is_no_prior() -> None:
    with pytest.raises(InputError, match=r"read_simulator\('erp'\)"):
        read_prior("erp")
