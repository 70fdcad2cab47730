"""Every family of posteriors, backbones, estimators and losses, once: the laws run over these.

A new family is one more entry; ``test_families`` fails for one that is registered and not here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import torch
from torch import nn

from bayesesi.estimator.field import FieldCaseInputs
from bayesesi.features import CONTEXT, FEATURES, FieldForward, FieldInputs, TemporalGroups
from bayesesi.loss import Case, FieldTruth
from bayesesi.model import GaussianModel, Model, PatchModel
from bayesesi.network import Backbone
from bayesesi.observation import Observation
from bayesesi.registry import implementation, spec_of
from bayesesi.spec import NetworkSpec, Recipe, Spec, make_spec, read_spec
from bayesesi.training import Trained
from tests.flow.small import LEVEL, observation
from tests.laws.test_dipole import observation as dipole_observation

#: Sizes that are as small as can be; features and context of a backbone, and its outputs.
SMALL = {"ico": LEVEL, "width": 16, "source_width": 8, "n_blocks": 1, "n_attention_heads": 2}
N_FEATURES, N_CONTEXT, N_SOURCE_OUT, N_OUT = len(FEATURES), len(CONTEXT), 3, 2

#: family -> its smallest table [network].
BACKBONES: dict[str, dict[str, Any]] = {"transformer": SMALL}


@dataclass(frozen=True)
class EstimatorCase:
    """An estimator as small as can be.

    Attributes
    ----------
    settings : of its table [estimator]. losses : families that train it. prior : of the sources.
    simulator : that cases come from. obs : makes an observation for it.
    """

    settings: dict[str, Any]
    losses: tuple[str, ...]
    prior: str
    simulator: str
    obs: Callable[[], Observation] = observation


_FLOW = {"density": "maf", "hidden": 16, "transforms": 2}
ESTIMATORS: dict[str, EstimatorCase] = {
    "atoms": EstimatorCase({"extents": 1}, ("next-source",), "focal", "single-frame"),
    "diffusion": EstimatorCase(
        {}, ("denoising", "no-event", "regression"), "focal-or-distributed", "single-frame"
    ),
    "flow": EstimatorCase(
        {**_FLOW, "parcels": 80, "context": 4}, ("parcel-nll", "no-event"), "focal", "single-frame"
    ),
    "dipole": EstimatorCase(
        {**_FLOW, "components": 4},
        ("dipole-nll",),
        "volume-dipole",
        "frame-dipole",
        dipole_observation,
    ),
}

#: Losses, and the estimator that each is tried with.
LOSSES: dict[str, str] = {
    "next-source": "atoms",
    "denoising": "diffusion",
    "no-event": "diffusion",
    "regression": "diffusion",
    "forward-consistency": "diffusion",
    "laplacian": "diffusion",
    "total-variation": "diffusion",
    "temporal-smoothness": "diffusion",
    "group-sparsity": "diffusion",
    "band-power": "diffusion",
    "parcel-nll": "flow",
    "dipole-nll": "dipole",
}


@cache
def recipe(estimator: str) -> Recipe:
    """The smallest recipe of an estimator."""
    case = ESTIMATORS[estimator]
    spec = spec_of("estimator", estimator)
    table: dict[str, Any] = {
        "schema": 2,
        "name": f"small-{estimator}",
        "description": "As small as can be.",
        "prior": case.prior,
        "mixture": [{"simulator": case.simulator}],
        "estimator": {"family": estimator, **case.settings},
        "losses": [{"family": name} for name in case.losses],
        "optimiser": {"steps": 1},
    }
    if spec.on_cortex:
        table["network"] = {"family": "transformer", **SMALL}
    found = make_spec("recipes", table)
    assert isinstance(found, Recipe)
    return found


@cache
def prior(estimator: str) -> Spec:
    return read_spec(ESTIMATORS[estimator].prior)


def network(estimator: str, seed: int = 1) -> nn.Module:
    """The untrained network of an estimator, its weights moved at random."""
    made: nn.Module = implementation(recipe(estimator).estimator).of(
        recipe(estimator), prior(estimator)
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for parameter in made.parameters():
            parameter.data += 0.02 * torch.randn_like(parameter)
    return made.eval()


def untrained(family: str) -> Backbone:
    """A backbone as it is before training."""
    spec: NetworkSpec = spec_of("network", family)(**BACKBONES[family])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        made = implementation(spec)(spec, N_FEATURES, N_CONTEXT, N_SOURCE_OUT, N_OUT)
    assert isinstance(made, Backbone)
    return made.eval()


@cache
def model(family: str) -> Model:
    """The smallest model of a family: exact, or an untrained network."""
    if family == "gaussian":
        return GaussianModel("identity")
    if family == "patches":
        return replace(PatchModel(), n_heads=2)
    trained = Trained(network(family), recipe(family), {"null": 0.1})
    made: Model = implementation(recipe(family).estimator, "model").of(trained, prior(family))
    return made


#: Families of posteriors, each with an observation that it answers.
POSTERIORS: dict[str, Callable[[], Observation]] = {
    "gaussian": observation,
    "atoms": observation,
    "diffusion": observation,
    "flow": observation,
    "dipole": dipole_observation,
}


@cache
def field_case(n: int = 4) -> Case[FieldCaseInputs, FieldTruth]:
    """n cases of fields on a small cortex; the last has no event."""
    obs = observation()
    forward = FieldForward.of(obs.leadfield, LEVEL)
    generator = torch.Generator().manual_seed(3)
    noise = torch.randn(n, *obs.values.shape, generator=generator)
    values = torch.from_numpy(obs.values).float() + noise
    scene: FieldInputs = forward.scene(values, TemporalGroups.of(obs.time_basis.projector))
    field = torch.randn(forward.n_sources, *scene.size.shape, generator=generator)
    field[:, -1] = 0
    functions = torch.from_numpy(obs.time_basis.functions).float()
    inputs = FieldCaseInputs(forward, scene, LEVEL)
    return Case(inputs, FieldTruth(field, functions), seed=3)


@cache
def simulated_case(estimator: str) -> Case[Any, Any]:
    """A microbatch that the recipe of an estimator simulates."""
    from bayesesi.training import cases_of

    return cases_of(recipe(estimator), "validate").session(0)[0]


def case_of(estimator: str) -> Case[Any, Any]:
    return field_case() if estimator in ("diffusion", "flow") else simulated_case(estimator)
