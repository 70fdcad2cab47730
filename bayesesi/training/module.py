"""What Lightning trains, for every recipe; imported only where Lightning is installed."""

from __future__ import annotations

import time
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor, nn

from bayesesi.loss import Case, Loss, Question
from bayesesi.loss.base import make_losses, mean_of
from bayesesi.registry import implementation
from bayesesi.spec import Recipe, Spec, spec_hash
from bayesesi.training.data import MICROBATCH, SESSION
from bayesesi.training.schedule import rate_at
from bayesesi.training.strategy.base import Strategy

#: Microbatches of a session; the last trains the mean, where that has a head of its own.
_PER_SESSION = SESSION // MICROBATCH


class LearnedModule(pl.LightningModule):
    """An estimator, its losses and its optimiser, and how long it has been trained.

    Parameters
    ----------
    recipe : what is trained, and how. prior : of the sources, that the recipe names.
    """

    def __init__(self, recipe: Recipe, prior: Spec) -> None:
        super().__init__()
        self.recipe = recipe
        self.network: nn.Module = implementation(recipe.estimator).of(recipe, prior)
        self.losses = make_losses(recipe.losses)
        self.how: Strategy = implementation(recipe.strategy)(recipe.strategy)
        self.seconds, self._since = 0.0, time.time()

    def total(self, case: Case, number: int) -> Tensor:
        """Sum the losses of one microbatch by their weights, each the mean over its cases: ().

        Parameters
        ----------
        case : up to ``MICROBATCH`` cases. number : of the microbatch in the run.
        """
        question = Question(case, self.network)
        chosen = self._asked(number)
        each = {name: mean_of(loss(question)) for name, loss in chosen.items()}
        found = self._weighted(each)
        first = next(iter(each), "")
        shown = "loss" if any(loss.of_draws for loss in chosen.values()) else "loss_mean"
        value = each[first] if len(each) > 1 and shown == "loss" else found
        self.log(shown, value, prog_bar=shown == "loss", batch_size=len(case))
        return found

    def _asked(self, number: int) -> dict[str, Loss]:
        """The losses of a microbatch: those of draws and of a mean with its own head take turns."""
        every: dict[str, Any] = dict(self.losses.items())
        if not self.recipe.estimator.separate_mean:
            return every
        of_mean = number % _PER_SESSION == _PER_SESSION - 1
        return {name: loss for name, loss in every.items() if loss.of_draws != of_mean}

    def _weighted(self, each: dict[str, Tensor]) -> Tensor:
        nothing = torch.zeros((), device=self.device)
        return sum((self.recipe.loss_weight(name) * v for name, v in each.items()), nothing)

    def training_step(self, case: Case, number: int) -> Tensor:
        """Compute the loss of ``case``, microbatch ``number``, by the strategy."""
        return self.how.step(self, case, number)

    def validation_step(self, case: Case, number: int) -> None:
        """Record every loss of ``case``, microbatch ``number``, and its details."""
        question, n = Question(case, self.network), len(case)
        found = {}
        for name, loss in self.losses.items():
            each = loss(question)
            found[name] = mean_of(each)
            details: dict[str, Tensor] = loss.details(each, question)  # type: ignore[operator]
            for part, value in details.items():
                self.log(f"held_out_{part}", value, batch_size=n)
        self.log("held_out", self._weighted(found), prog_bar=True, batch_size=n)
        if len(found) > 1:
            for name, value in found.items():
                self.log(f"held_out_{name}", value, batch_size=n)

    def contexts(self, case: Case) -> Tensor:
        """Take contexts (B', C) of ``case`` that a ``TrainingRange`` is made of."""
        found: Any = self.network
        contexts: Tensor = found.contexts(case.inputs)
        return contexts

    @property
    def context_names(self) -> tuple[str, ...]:
        """Names of the first numbers of ``contexts``."""
        found: Any = self.network
        names: tuple[str, ...] = found.context_names
        return names

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

    def load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Load the weights of ``checkpoint``, outside of training."""
        self.on_load_checkpoint(checkpoint)
        self.load_state_dict(checkpoint["state_dict"])

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take the time of training from ``checkpoint``."""
        self.seconds = float(checkpoint["seconds"])
