"""What adding one of each kind takes: a module, a recipe or a template, and nothing elsewhere.

Each addition is written into a temporary folder as its author would write it, and used as a user
would use it. No file of the package is touched: the counts below are the files that were written.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest

import bayesesi
from bayesesi import registry
from bayesesi.benchmark import methods
from bayesesi.errors import InputError
from bayesesi.io import readers
from bayesesi.report import make_report
from bayesesi.spec import read_spec
from tests.flow.small import observation

section = importlib.import_module("bayesesi.spec.section")

NETWORK = '''
"""Every source by itself, and the mean of all."""
from typing import Literal
from torch import nn
from bayesesi.features.network_inputs import NetworkInputs, Tokens
from bayesesi.network import Backbone
from bayesesi.registry import implements
from bayesesi.spec import NetworkSpec

class PointwiseSpec(NetworkSpec):
    """Sizes of the perceptron that all sources share."""
    family: Literal["pointwise"] = "pointwise"
    ico: Literal[2, 3, 4] = 2
    width: int = 8

@implements(PointwiseSpec)
class Pointwise(Backbone):
    """A perceptron a source."""
    needs = frozenset({"source_features"})
    claims = frozenset({"reference", "montage", "order"})

    def __init__(self, spec, n_features, n_context, n_source_out, n_out):
        super().__init__()
        self.each = nn.Sequential(
            nn.Linear(n_features, spec.width), nn.SiLU(), nn.Linear(spec.width, n_source_out)
        )
        self.whole = nn.Linear(n_context, n_out)

    def forward(self, x: NetworkInputs) -> Tokens:
        return Tokens(self.each(x.source_features), self.whole(x.context))
'''
RECIPE = """
schema = 2
name = "pointwise"
description = "As small as can be."
prior = "focal-or-distributed"

[[mixture]]
simulator = "single-frame"

[network]
family = "pointwise"

[estimator]
family = "diffusion"

[[losses]]
family = "denoising"

[[losses]]
family = "total-energy"
weight = 0.5

[optimiser]
steps = 1
warm_up = 0
"""
LOSS = '''
"""The energy of the posterior mean."""
from typing import ClassVar, Literal
from bayesesi.loss import Loss, Question
from bayesesi.registry import implements
from bayesesi.spec import LossSpec

class TotalEnergySpec(LossSpec):
    """Energy of the posterior mean."""
    fits: ClassVar[tuple[str, ...]] = ("diffusion",)
    family: Literal["total-energy"] = "total-energy"

@implements(TotalEnergySpec)
class TotalEnergy(Loss):
    """The mean square of the posterior mean, for every case."""
    def forward(self, question: Question):
        return question.answer.mean.square().mean((0, 2))
'''
ESTIMATOR = '''
"""Sources that are independent and Gaussian, their variances by a network."""
from dataclasses import dataclass, field
from typing import ClassVar, Literal
import numpy as np
import torch
from torch import nn
from bayesesi.estimator.field import FieldCaseInputs
from bayesesi.features import CONTEXT, FEATURES
from bayesesi.features.network_inputs import NetworkInputs
from bayesesi.loss import Loss, Question
from bayesesi.model.learned import CorticalModel
from bayesesi.posterior.network_posterior import NetworkPosterior, field_inputs
from bayesesi.registry import implementation, implements
from bayesesi.spec import EstimatorSpec, LossSpec
from bayesesi.training.cases.diffusion import FieldCases

class IndependentSpec(EstimatorSpec):
    """Independent sources."""
    loss: ClassVar[str] = "variance-nll"
    family: Literal["independent"] = "independent"

class VarianceNllSpec(LossSpec):
    """Negative log likelihood of every source."""
    fits: ClassVar[tuple[str, ...]] = ("independent",)
    family: Literal["variance-nll"] = "variance-nll"

@implements(IndependentSpec)
class IndependentEstimator(nn.Module):
    """Log variances of sources, log odds of no event."""
    context_names: ClassVar[tuple[str, ...]] = CONTEXT[:8]
    offers: ClassVar[frozenset[str]] = frozenset({"source_features"})

    def __init__(self, backbone, seed):
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            sizes = (len(FEATURES), len(CONTEXT), 1, 1)
            self.backbone = implementation(backbone)(backbone, *sizes)
        self.backbone.check_fits(self.offers, "independent")

    @classmethod
    def of(cls, recipe, prior):
        return cls(recipe.network, recipe.seed)

    def answer(self, inputs: FieldCaseInputs):
        scene = inputs.scene
        sources = torch.arange(inputs.forward.n_sources)
        return self.backbone(
            NetworkInputs(scene.context, sources, source_features=lambda: scene.features)
        )

    def contexts(self, inputs):
        return inputs.scene.context

@implements(VarianceNllSpec)
class VarianceNll(Loss):
    """-log N(x; 0, d), a mean over sources, for every case."""
    of_draws: ClassVar[bool] = True
    def forward(self, question: Question):
        log_d = question.answer.sources[:, :, 0].T[:, :, None]
        x = question.case.truth.field
        return 0.5 * (log_d + x.square() / log_d.exp()).mean((0, 2))

implements(IndependentSpec, "case")(FieldCases)

@dataclass(frozen=True, eq=False, kw_only=True)
class IndependentPosterior(NetworkPosterior):
    """Independent Gaussian sources."""
    n_spread: ClassVar[int] = 64
    tokens: object = field(repr=False)

    @property
    def null_probability(self):
        return float(torch.sigmoid(self.tokens.whole[0, 0].double()))

    def mean(self):
        return self._no_moments(1)[0]

    def sample(self, n, seed=0):
        generator = torch.Generator().manual_seed(seed)
        draws, rows = self._no_moments(n), np.flatnonzero(self._loud(n, generator))
        sd = (0.5 * self.tokens.sources[0, :, 0]).exp()[:, None, None]
        shape = (len(sd), len(rows), self.scene.size.shape[1])
        draws[rows] = self._moments(sd * torch.randn(shape, generator=generator))
        return draws

@implements(IndependentSpec, "model")
@dataclass(frozen=True)
class IndependentModel(CorticalModel):
    """Independent Gaussian sources."""
    family: ClassVar[str] = "independent"

    def posterior(self, obs, seed=0):
        forward, scene = field_inputs(obs, self.ico)
        with torch.inference_mode():
            tokens = self.network.answer(FieldCaseInputs(forward, scene, self.ico))
        return IndependentPosterior(
            obs, forward=forward, scene=scene, seed=seed, support=self.support, tokens=tokens
        )
'''
BASELINE = '''
"""Size of the lead field: the answer that the data do not change."""
import numpy as np

def solve(obs, seed):
    return np.linalg.norm(obs.leadfield, axis=0)
'''
READER = '''
"""Recordings as NumPy keeps them: (C, T), microvolts, names in a second array."""
import mne
import numpy as np
from bayesesi.io.readers import reader

@reader(".npz")
def numpy_file(path):
    with np.load(path, allow_pickle=False) as file:
        info = mne.create_info([str(n) for n in file["names"]], float(file["sfreq"]), "eeg")
        return [mne.EvokedArray(1e-6 * file["volts_uV"], info, comment="of NumPy")]
'''
SECTION = '''
"""How many channels there are."""
from pathlib import Path
from bayesesi.spec import section

@section(template=Path(__file__).with_name("channels.html"))
def channels(reading):
    return {"n": len(reading.about["observation"].get("bads", ()))}
'''
PAGE = """
schema = 1
name = "mine"
description = "Mine."
family = "report"

[[sections]]
section = "channels"
title = "Channels"

[[sections]]
section = "methods"
title = "Methods"
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Where modules are written, and imported from; what they register is forgotten after."""
    path = tmp_path_factory.mktemp("own")
    sys.path.insert(0, str(path))
    yield path
    sys.path.remove(str(path))
    own = {file.stem for file in path.glob("*.py")}
    tables = [*registry._SPECS.values(), registry._CLASSES, readers._READERS, section._SECTIONS]
    for table in tables:
        for key, entry in list(table.items()):
            if getattr(entry, "make", entry).__module__ in own:
                del table[key]


def added(folder: Path, name: str, text: str) -> None:
    (folder / f"{name}.py").write_text(text)
    importlib.invalidate_caches()
    importlib.import_module(name)


@pytest.mark.usefixtures("few_held_out")
def test_a_network_and_a_loss_are_a_file_each_and_a_recipe(folder: Path) -> None:
    """The class with its spec, and the recipe: two files of at most three; a loss is one of two."""
    recipe = folder / "pointwise.toml"
    recipe.write_text(RECIPE)
    with pytest.raises(InputError, match=r"network.family = 'pointwise' is not known"):
        read_spec(recipe)
    added(folder, "own_pointwise", NETWORK)
    with pytest.raises(InputError, match=r"loss.family = 'total-energy' is not known"):
        read_spec(recipe)
    added(folder, "own_total_energy", LOSS)
    made = bayesesi.train(recipe, folder / "run", "cpu", workers=0, progress=False)
    assert "held_out_total-energy" in made.history["validation"]
    model = bayesesi.load_model(folder / "run" / "pointwise.safetensors")
    result = bayesesi.infer(observation(), model, draws=20)
    assert str(result.trust.verdict) in ("reliable", "caution", "abstain")


@pytest.mark.usefixtures("few_held_out")
def test_an_estimator_is_trained_loaded_and_answers(folder: Path) -> None:
    """Its spec, network, loss, cases, posterior and model, and the recipe: no file of ours."""
    recipe = folder / "independent.toml"
    text = RECIPE.replace("pointwise", "independent").replace("diffusion", "independent")
    text = text.replace('"denoising"', '"variance-nll"').split('[[losses]]\nfamily = "total')[0]
    sizes = 'family = "transformer"\nico = 2\nwidth = 8\nn_blocks = 1\nn_attention_heads = 1'
    text = text.replace('[network]\nfamily = "independent"', f"[network]\n{sizes}")
    recipe.write_text(text + RECIPE[RECIPE.index("[optimiser]") :])
    with pytest.raises(InputError, match=r"estimator.family = 'independent' is not known"):
        read_spec(recipe)
    added(folder, "own_independent", ESTIMATOR)
    bayesesi.train(recipe, folder / "run-estimator", "cpu", workers=0, progress=False)
    model = bayesesi.load_model(folder / "run-estimator" / "independent.safetensors")
    posterior = model.posterior(observation())
    first = posterior.sample(3, 1)
    np.testing.assert_array_equal(posterior.sample(3, 1), first)
    assert first.shape[1:] == posterior.sd().shape
    result = bayesesi.infer(observation(), model, draws=20)
    assert result.about["model"]["details"]["family"] == "independent"


def test_a_loss_of_another_estimator_is_refused(folder: Path) -> None:
    """The twin: tables that do not fit are an error that names both."""
    path = folder / "unfit.toml"
    text = RECIPE.replace('"pointwise"', '"transformer"').replace('"diffusion"', '"atoms"')
    path.write_text(text.replace('family = "total-energy"', 'family = "laplacian"'))
    with pytest.raises(InputError, match="loss 'denoising' does not train estimator 'atoms'"):
        read_spec(path)


def test_a_baseline_is_one_file(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    added(folder, "own_baseline", BASELINE)
    point = EntryPoint("size of the lead field", "own_baseline:solve", methods.GROUP)
    monkeypatch.setattr(methods, "entry_points", lambda group: [point])
    methods.methods.cache_clear()
    try:
        (method,) = methods.chosen([point.name], "cortex")
        obs = observation()
        assert np.asarray(method.solve(obs, 0, None)).shape == (obs.source_space.n_sources,)
    finally:
        methods.methods.cache_clear()


def test_a_file_format_is_one_file(folder: Path) -> None:
    path = folder / "mine.npz"
    volts = np.arange(12.0).reshape(3, 4)
    np.savez(path, volts_uV=volts, names=["Fz", "Cz", "Pz"], sfreq=100.0)
    with pytest.raises(InputError, match="is not a readable"):
        bayesesi.read_recording(path)
    added(folder, "own_reader", READER)
    found = bayesesi.read_recording(path)
    assert found.comment == "of NumPy"
    np.testing.assert_allclose(found.data, 1e-6 * volts)


def test_a_section_is_a_file_its_template_and_a_page(folder: Path) -> None:
    page = folder / "mine.toml"
    page.write_text(PAGE)
    result = bayesesi.infer(observation(), "gaussian", draws=20)
    with pytest.raises(InputError, match="no section 'channels'"):
        make_report(result, page)
    (folder / "channels.html").write_text("<p>{{ s.n }} bad channels</p>")
    added(folder, "own_section", SECTION)
    assert "<p>0 bad channels</p>" in make_report(result, page).html
