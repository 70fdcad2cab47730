"""What Lightning trains, one a family; imported only where Lightning is installed."""

from __future__ import annotations

import time
from abc import abstractmethod
from typing import Any, ClassVar

import lightning.pytorch as pl
import torch
from torch import Tensor, nn

from bayesesi.anatomy import template_parcels
from bayesesi.estimator.atoms import AtomEstimator
from bayesesi.estimator.dipole import DipoleEstimator
from bayesesi.estimator.field import FieldDenoiser
from bayesesi.estimator.parcels import ParcelEstimator
from bayesesi.features import CONTEXT, ParcelForward
from bayesesi.features.dipole_scan import FEATURES as DIPOLE_FEATURES
from bayesesi.features.scan import N_MEASURED
from bayesesi.spec import DiffusionRecipe, DipoleRecipe, FlowRecipe, Recipe, spec_hash
from bayesesi.training.atom_examples import AtomExample, AtomExamples
from bayesesi.training.data import PIECE, SESSION, Examples
from bayesesi.training.dipole_examples import DipoleExample, DipoleExamples
from bayesesi.training.field_examples import FieldExample, FieldExamples
from bayesesi.training.losses import (
    atom_loss,
    denoising_loss,
    dipole_losses,
    mean_losses,
    parcel_losses,
)
from bayesesi.training.schedule import rate_at


class LearnedModule(pl.LightningModule):
    """A network, its optimiser, and how long it has been trained.

    Attributes
    ----------
    recipe : how. network : that is trained.
    context_names : of the numbers of ``contexts`` that tell what a network met.
    """

    context_names: ClassVar[tuple[str, ...]] = CONTEXT[:N_MEASURED]

    def __init__(self, recipe: Recipe, network: nn.Module) -> None:
        super().__init__()
        self.recipe, self.network = recipe, network
        self.seconds, self._since = 0.0, time.time()

    @abstractmethod
    def contexts(self, piece: Any) -> Tensor:
        """Take the context (B', C) of scenes of ``piece`` that were given nothing."""

    def transfer_batch_to_device(self, batch: Any, device: Any, _: int) -> Any:
        """Move the piece ``batch`` to ``device``."""
        return batch.to(device)

    def configure_optimizers(self) -> Any:
        """Make the optimiser of the recipe and its schedule."""
        spec = self.recipe.optimiser
        optimiser = torch.optim.AdamW(self.parameters(), spec.rate, weight_decay=spec.decay)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: rate_at(step, spec))
        return [optimiser], [{"scheduler": schedule, "interval": "step"}]

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add the recipe's hash and the time of training to ``checkpoint``."""
        checkpoint["recipe_hash"] = spec_hash(self.recipe)
        checkpoint["seconds"] = self.seconds + time.time() - self._since

    def take(self, checkpoint: dict[str, Any]) -> None:
        """Take the weights of ``checkpoint``, outside of training."""
        self.on_load_checkpoint(checkpoint)
        self.load_state_dict(checkpoint["state_dict"])

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take the time of training from ``checkpoint``."""
        self.seconds = float(checkpoint["seconds"])


class AtomModule(LearnedModule):
    """Weighted negative log-likelihood of what is next, over all questions of ``examples``."""

    sources: Tensor
    log_place: Tensor
    network: AtomEstimator

    def __init__(self, examples: AtomExamples) -> None:
        recipe, count = examples.recipe, examples.prior.spec.count
        network = AtomEstimator(recipe.backbone, recipe.extents, count, recipe.seed)
        super().__init__(recipe, network)
        atoms = examples.atoms
        self.register_buffer("sources", torch.from_numpy(atoms.centres), persistent=False)
        place = torch.from_numpy(atoms.log_place).float()
        self.register_buffer("log_place", place, persistent=False)

    def _nll(self, example: AtomExample) -> Tensor:
        return atom_loss(self.network, example, self.sources, self.log_place)

    def training_step(self, example: AtomExample, _: int) -> Tensor:
        """Compute the loss of ``example``."""
        loss = self._nll(example).mean()
        self.log("loss", loss, prog_bar=True, batch_size=len(example.given))
        return loss

    def validation_step(self, example: AtomExample, _: int) -> None:
        """Record the loss of ``example``, and of each question in it."""
        each = self._nll(example)
        self.log("held_out", each.mean(), prog_bar=True, batch_size=len(each))
        for step, name in enumerate(("first", "second", "third")):
            rows = example.given == step
            if rows.any():
                mean = (each[rows] / example.weight[rows]).mean()
                self.log(f"held_out_{name}", mean, batch_size=int(rows.sum()))

    def contexts(self, piece: AtomExample) -> Tensor:
        return piece.scene.context[piece.given == 0]


#: Of the pieces of a session, the last trains the head of the mean, the others draws.
_PIECES = SESSION // PIECE


class FieldModule(LearnedModule):
    """Denoising, and the supervised mean, of ``examples`` by the weights of their recipe."""

    network: FieldDenoiser
    recipe: DiffusionRecipe

    def __init__(self, examples: FieldExamples) -> None:
        recipe = examples.recipe
        assert isinstance(recipe, DiffusionRecipe)
        super().__init__(recipe, FieldDenoiser(recipe.backbone, recipe.seed))

    def _of_draws(self, example: FieldExample) -> Tensor:
        each = denoising_loss(self.network, example, self.recipe.matching)
        return each.mean() if len(each) else each.sum()

    def _of_mean(self, example: FieldExample) -> tuple[Tensor, dict[str, Tensor]]:
        weights = self.recipe.losses
        each = mean_losses(self.network, example, weights, self.recipe.backbone.level)
        known, nothing = weights.model_dump(), example.field.new_zeros(())
        return sum((known[name] * loss for name, loss in each.items()), nothing), each

    def training_step(self, example: FieldExample, k: int) -> Tensor:
        """Compute the loss of ``example``, of draws or, for the last ``k`` of a session, the
        mean."""
        n = len(example.scene)
        if k % _PIECES == _PIECES - 1:
            loss, _ = self._of_mean(example)
            self.log("loss_mean", loss, batch_size=n)
        else:
            loss = self.recipe.losses.denoising * self._of_draws(example)
            self.log("loss", loss, prog_bar=True, batch_size=n)
        return loss

    def validation_step(self, example: FieldExample, _: int) -> None:
        """Record every loss of ``example``."""
        n = len(example.scene)
        total, each = self._of_mean(example)
        denoising = self._of_draws(example)
        known = self.recipe.losses.denoising
        self.log("held_out", total + known * denoising, prog_bar=True, batch_size=n)
        for name, loss in {"denoising": denoising, **each}.items():
            self.log(f"held_out_{name}", loss, batch_size=n)

    def contexts(self, piece: FieldExample) -> Tensor:
        return piece.scene.context


#: Of whether there is an event, beside nats a parcel.
_NOTHING = 0.2


class FlowModule(LearnedModule):
    """Negative log-likelihood of the activity of parcels in ``examples``."""

    network: ParcelEstimator
    recipe: FlowRecipe

    def __init__(self, examples: FieldExamples) -> None:
        recipe = examples.recipe
        assert isinstance(recipe, FlowRecipe)
        parcels = template_parcels(recipe.parcels, recipe.backbone.level)
        super().__init__(recipe, ParcelEstimator(recipe, parcels))
        self.parcels = parcels

    def _losses(self, example: FieldExample) -> tuple[Tensor, Tensor]:
        forward = ParcelForward.on(example.forward, self.parcels)
        each, nothing = parcel_losses(self.network, example, forward)
        return (each.mean() if len(each) else each.sum()), nothing

    def training_step(self, example: FieldExample, _: int) -> Tensor:
        """Compute the loss of ``example``."""
        nats, nothing = self._losses(example)
        self.log("loss", nats, prog_bar=True, batch_size=len(example.scene))
        return nats + _NOTHING * nothing

    def validation_step(self, example: FieldExample, _: int) -> None:
        """Record both losses of ``example``."""
        n = len(example.scene)
        nats, nothing = self._losses(example)
        self.log("held_out", nats, prog_bar=True, batch_size=n)
        self.log("held_out_nothing", nothing, batch_size=n)

    def contexts(self, piece: FieldExample) -> Tensor:
        return piece.scene.context


class DipoleModule(LearnedModule):
    """Negative log-likelihood of how many dipoles ``examples`` have, of where and what they are."""

    context_names = DIPOLE_FEATURES

    network: DipoleEstimator
    recipe: DipoleRecipe

    def __init__(self, examples: DipoleExamples) -> None:
        super().__init__(examples.recipe, DipoleEstimator(examples.recipe))

    def training_step(self, example: DipoleExample, _: int) -> Tensor:
        """Compute the loss of ``example``."""
        of_count, of_rest = dipole_losses(self.network, example)
        loss = (of_count + of_rest).mean()
        self.log("loss", loss, prog_bar=True, batch_size=len(example))
        return loss

    def validation_step(self, example: DipoleExample, _: int) -> None:
        """Record the losses of ``example``, by number of dipoles."""
        of_count, of_rest = dipole_losses(self.network, example)
        n = len(example)
        self.log("held_out", (of_count + of_rest).mean(), prog_bar=True, batch_size=n)
        self.log("held_out_count", of_count.mean(), batch_size=n)
        for k in (1, 2):
            own = of_rest[example.count == k]
            if len(own):
                self.log(f"held_out_{k}", own.mean(), batch_size=len(own))

    def contexts(self, piece: DipoleExample) -> Tensor:
        return piece.summary.context


def make_module(examples: Examples[Any, Any]) -> LearnedModule:
    """Make the module of the family of ``examples``."""
    if isinstance(examples, AtomExamples):
        return AtomModule(examples)
    if isinstance(examples, DipoleExamples):
        return DipoleModule(examples)
    assert isinstance(examples, FieldExamples)
    if isinstance(examples.recipe, FlowRecipe):
        return FlowModule(examples)
    return FieldModule(examples)
