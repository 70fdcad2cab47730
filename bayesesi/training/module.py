"""The estimator as Lightning trains it; imported only where Lightning is installed."""

from __future__ import annotations

import time
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor

from bayesesi.posterior.atoms import AtomEstimator
from bayesesi.spec import AtomRecipe, spec_hash
from bayesesi.training.examples import AtomExamples, Example
from bayesesi.training.loop import nll, rate_at


class AtomModule(pl.LightningModule):
    """Weighted negative log-likelihood of what is next, over all questions."""

    sources: Tensor
    log_place: Tensor

    def __init__(self, recipe: AtomRecipe, examples: AtomExamples) -> None:
        super().__init__()
        self.recipe = recipe
        count = examples.prior.spec.count
        self.estimator = AtomEstimator(recipe.backbone, recipe.extents, count, recipe.seed)
        atoms = examples.atoms
        self.register_buffer("sources", torch.from_numpy(atoms.centres), persistent=False)
        place = torch.from_numpy(atoms.log_place).float()
        self.register_buffer("log_place", place, persistent=False)
        self.seconds, self._since = 0.0, time.time()

    def transfer_batch_to_device(self, batch: Example, device: Any, _: int) -> Example:
        return batch.to(device)

    def _nll(self, example: Example) -> Tensor:
        return nll(self.estimator, example, self.sources, self.log_place)

    def training_step(self, example: Example, _: int) -> Tensor:
        loss = self._nll(example).mean()
        self.log("loss", loss, prog_bar=True, batch_size=len(example.given))
        return loss

    def validation_step(self, example: Example, _: int) -> None:
        each = self._nll(example)
        n = len(each)
        self.log("held_out", each.mean(), prog_bar=True, batch_size=n)
        for step, name in enumerate(("first", "second", "third")):
            rows = example.given == step
            if rows.any():
                mean = (each[rows] / example.weight[rows]).mean()
                self.log(f"held_out_{name}", mean, batch_size=int(rows.sum()))

    def configure_optimizers(self) -> Any:
        spec = self.recipe.optimiser
        optimiser = torch.optim.AdamW(self.parameters(), spec.rate, weight_decay=spec.decay)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: rate_at(step, spec))
        return [optimiser], [{"scheduler": schedule, "interval": "step"}]

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["recipe_hash"] = spec_hash(self.recipe)
        checkpoint["seconds"] = self.seconds + time.time() - self._since

    def take(self, checkpoint: dict[str, Any]) -> None:
        """The weights of a checkpoint, outside of training."""
        self.on_load_checkpoint(checkpoint)
        self.load_state_dict(checkpoint["state_dict"])

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.seconds = float(checkpoint["seconds"])
