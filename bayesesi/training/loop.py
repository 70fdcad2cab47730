"""The loop, by Lightning: it goes on where it was stopped, on as many devices as there are."""

from __future__ import annotations

import logging
import os
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.utils.data import DataLoader

from bayesesi.errors import InputError
from bayesesi.features import TrainingRange
from bayesesi.prior import BLOCK
from bayesesi.spec import Recipe, Spec, spec_hash
from bayesesi.training.data import MICROBATCH, SESSION, Cases, cases_of
from bayesesi.training.strategy.base import Strategy

#: Sessions that are held out, and steps between looks at them.
_N_HELD, _EVERY = 12, 500
#: Sessions whose contexts tell what a network met.
_N_SEEN = 24
#: Steps between checkpoints.
_SAVE = 200


@dataclass(frozen=True, eq=False)
class Trained:
    """What training leaves.

    Attributes
    ----------
    network : with the averaged weights. recipe : that made it. history : how it came about.
    """

    network: nn.Module
    recipe: Recipe
    history: dict[str, Any]


def fit(
    recipe: Recipe,
    prior: Spec,
    folder: str | Path,
    device: str = "auto",
    steps: int | None = None,
    workers: int = 1,
    progress: bool = True,
) -> Trained:
    """Train a recipe; checkpoints and curves go to ``folder``, which a later call goes on from.

    Parameters
    ----------
    recipe : what is trained, and how. prior : of the sources, that the recipe names.
    folder : of the run. device : ``"auto"``, ``"cpu"`` or ``"cuda"``; the same call under
        ``torchrun`` shares cases out.
    steps : instead of the recipe's, for a trial; the rate then falls as fast.
    workers : processes that simulate. progress : show a bar.

    Raises
    ------
    InputError : Lightning is not installed, or a folder whose run is of another recipe.
    """
    pl = _lightning()
    from bayesesi.training.module import LearnedModule

    folder = Path(folder)
    optimiser = recipe.optimiser.model_copy(update={"steps": steps} if steps else {})
    recipe = recipe.model_copy(update={"optimiser": optimiser})
    last = folder / "checkpoints" / "last.ckpt"
    start = _start(last, spec_hash(recipe))
    module, held = LearnedModule(recipe, prior), cases_of(recipe, "validate")
    began = time.time()
    with _quiet(), _threads(workers):
        trainer = pl.Trainer(**_options(recipe, folder, device, progress))
        looked = DataLoader(_Held(held), batch_size=None, generator=torch.Generator())
        if start < optimiser.steps:
            loader = _loader(module.how, cases_of(recipe), start, workers)
            ckpt = last if start else None
            trainer.fit(module, loader, looked, ckpt_path=ckpt, weights_only=True)
        else:  # a run that had ended: its checkpoint holds the average of the weights
            module.load_checkpoint(torch.load(last, map_location="cpu", weights_only=True))
        trainer.validate(module, looked, verbose=False)
    seconds = module.seconds + (time.time() - began) * (start < optimiser.steps)
    return Trained(module.network.cpu().eval(), recipe, _history(module, trainer, held, seconds))


def _lightning() -> Any:
    try:
        import lightning.pytorch as pl
    except ImportError as error:
        raise InputError(
            "training needs Lightning; install it with pip install 'bayesesi[train]'"
        ) from error
    return pl


def _options(recipe: Recipe, folder: Path, device: str, progress: bool) -> dict[str, Any]:
    """What Lightning's trainer is told."""
    from lightning.pytorch.callbacks import EMAWeightAveraging, ModelCheckpoint
    from lightning.pytorch.loggers import TensorBoardLogger

    kept = ModelCheckpoint(
        folder / "checkpoints",
        save_last=True,
        save_top_k=0,
        every_n_train_steps=_SAVE,
        save_on_train_epoch_end=False,
    )
    return {
        "default_root_dir": folder,
        "accelerator": device,
        "precision": "bf16-mixed" if _on_gpu(device) else "32-true",
        "max_steps": recipe.optimiser.steps,
        "accumulate_grad_batches": SESSION // MICROBATCH,
        "gradient_clip_val": recipe.optimiser.clip,
        "val_check_interval": _EVERY * (SESSION // MICROBATCH),
        "check_val_every_n_epoch": None,
        "num_sanity_val_steps": 0,
        "log_every_n_steps": 20,
        "enable_progress_bar": progress,
        "enable_model_summary": False,
        "logger": TensorBoardLogger(folder, name="", version="curves"),
        "use_distributed_sampler": False,  # every process looks at all that is held out
        **_shared(),
        "callbacks": [
            EMAWeightAveraging(decay=recipe.optimiser.average, use_buffers=False),
            kept,
        ],
    }


def _history(module: Any, trainer: Any, held: Cases[Any], seconds: float) -> dict[str, Any]:
    """On how much a network was trained, how well it does, and which contexts it met."""
    cases = (case for n in range(_N_SEEN) for case in held.session(4 * n))
    contexts = torch.cat([module.contexts(case) for case in cases])
    steps = module.recipe.optimiser.steps
    return {
        "steps": steps,
        "cases": steps * SESSION * max(trainer.world_size, 1) // module.how.replay,
        "seconds": round(seconds),
        "device": str(module.device.type),
        "validation": {k: float(v) for k, v in trainer.callback_metrics.items()},
        "support": asdict(TrainingRange.of(contexts, module.context_names)),
        "null": held.prior.null_probability,
    }


def _loader(strategy: Strategy, cases: Cases[Any], start: int, workers: int) -> DataLoader[Any]:
    context = "fork" if workers else None
    return DataLoader(
        strategy.stream(cases, start),
        batch_size=None,
        generator=torch.Generator(),  # else it would draw a seed from the global one
        num_workers=workers,
        multiprocessing_context=context,
        # a worker makes a block at once, so that two of them must have room
        prefetch_factor=2 * BLOCK // MICROBATCH if workers else None,
        persistent_workers=bool(workers),
    )


class _Held(torch.utils.data.Dataset[Any]):
    """Sessions that are held out, made once; every third block, so that simulators mix."""

    def __init__(self, cases: Cases[Any]) -> None:
        self.cases = cases
        self.kept: list[Any] = []

    def __len__(self) -> int:
        return _N_HELD * (SESSION // MICROBATCH)

    def __getitem__(self, k: int) -> Any:
        if not self.kept:
            sessions = [self.cases.session(4 * n) for n in range(_N_HELD)]
            self.kept = [case for session in sessions for case in session]
        return self.kept[k]


def _start(last: Path, recipe_hash: str) -> int:
    """The session at which a run goes on: 0 if there is none."""
    if not last.is_file():
        return 0
    try:
        found = torch.load(last, map_location="cpu", weights_only=True)
        step, known = int(found["global_step"]), str(found["recipe_hash"])
    except Exception as error:  # torch raises many kinds for foreign files
        raise InputError(
            f"{last.name} is not a checkpoint of a run ({type(error).__name__}); remove it, or "
            "train in another folder"
        ) from error
    if known != recipe_hash:
        raise InputError(
            f"the run in this folder uses recipe {known}, not {recipe_hash}; train in another "
            "folder, or remove this one"
        )
    return step


def is_first() -> bool:
    """Tell whether this process, of those that ``torchrun`` started, is the one that writes."""
    return int(os.environ.get("RANK", "0")) == 0


def _shared() -> dict[str, Any]:
    """What Lightning must be told of the processes that ``torchrun`` started; nothing without."""
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        return {}
    local = int(os.environ.get("LOCAL_WORLD_SIZE", world))
    # heads take turns, see LearnedModule: in a step some are not used
    strategy = "ddp_find_unused_parameters_true"
    return {"devices": local, "num_nodes": world // local, "strategy": strategy}


def _on_gpu(device: str) -> bool:
    return device != "cpu" and torch.cuda.is_available()


@contextmanager
def _threads(workers: int) -> Iterator[None]:
    """Cores that simulate are not taken for sums as well."""
    before = torch.get_num_threads()
    torch.set_num_threads(max(1, min(before, (os.cpu_count() or 1) - workers)))
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _quiet() -> Iterator[None]:
    """Lightning's advice is left out; what a user should see is the bar."""
    names = ("lightning.pytorch", "lightning.fabric", "lightning.pytorch.utilities.rank_zero")
    before = {name: logging.getLogger(name).level for name in names}
    for name in names:
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for name, level in before.items():
            logging.getLogger(name).setLevel(level)
