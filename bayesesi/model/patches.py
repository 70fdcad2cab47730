"""Few patches of cortex, in heads that are drawn; it has no weights to load.

Exact where one head is assumed. Where heads are drawn, a finite number of them cannot follow strong
data, and the likelihood is tempered: its power is in the details of the posterior.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from bayesesi.anatomy import SourceSpace, template_parcellation
from bayesesi.errors import InputError, some
from bayesesi.forward import ForwardOperator
from bayesesi.model.artifact import ASSETS
from bayesesi.model.base import Model
from bayesesi.observation import Observation
from bayesesi.posterior import Posterior
from bayesesi.prior import PatchPrior
from bayesesi.spec import PatchSpec, read_spec, shipped_specs, spec_hash

if TYPE_CHECKING:
    from bayesesi.prior import HeadPrior

#: Heads drawn from their prior, where they can be, to learn how sources look in them.
N_HEADS = 192


@dataclass(frozen=True)
class PatchModel(Model):
    """Patches of cortex along its normals, the head drawn where it can be.

    Attributes
    ----------
    prior : a source prior of the family ``patch`` that ships, or the path of a TOML file.
    n_heads : drawn from ``template-digitised`` or ``template-nominal``, by who measured the
        electrodes; a forward model of one's own is taken for the true head.
    """

    family: ClassVar[str] = "patches"

    prior: str = "focal"
    n_heads: int = N_HEADS

    def __post_init__(self) -> None:
        _ = self._spec

    @property
    def name(self) -> str:
        return "patches"

    @property
    def fingerprint(self) -> str:
        """Of what it believes of sources and heads."""
        return f"{spec_hash(self._spec)}-{self.n_heads}"

    @property
    def card_path(self) -> Path:
        return ASSETS / "patches.card.json"

    @property
    def prior_null(self) -> float:
        return self._spec.count.null

    @property
    def _spec(self) -> PatchSpec:
        spec = read_spec(self.prior)
        if not isinstance(spec, PatchSpec):
            names = [n for n in shipped_specs() if isinstance(read_spec(n), PatchSpec)]
            raise InputError(
                f"the prior of 'patches' is of the family patch, {self.prior[:60]!r} is not; "
                f"give one of {some(names)} or a file of that family"
            )
        return spec

    def posterior(self, obs: Observation, seed: int = 0) -> Posterior:
        prior = patch_prior(self._spec, obs.source_space)
        from bayesesi.posterior import patch_posterior

        return patch_posterior(obs, prior, _heads(obs), n_heads=self.n_heads, seed=seed)

    def oriented(self, forward: ForwardOperator) -> ForwardOperator:
        return along_normals(forward)

    def details(self, obs: Observation) -> dict[str, Any]:
        heads = _heads(obs)
        own = "none: the forward is not from the bank, its head model is assumed exact"
        return {
            **super().details(obs),
            "prior_hash": spec_hash(self._spec),
            "heads": own if heads is None else heads.spec.name,
            "n_heads": 0 if heads is None else self.n_heads,
        }


def patch_prior(spec: PatchSpec, space: SourceSpace) -> PatchPrior:
    """Make a prior of patches by ``spec`` for any sources on a cortex, ``space``.

    A level of the template has its own regions, sources on another mesh take those of the nearest
    on the template.

    Raises
    ------
    InputError : sources in a volume, or none near a region that the prior allows.
    """
    _check_cortex(space)
    if space.ico is not None:
        return PatchPrior(spec, template_parcellation(space.ico))
    return PatchPrior(spec, template_parcellation(5).on(space))


def _check_cortex(space: SourceSpace) -> None:
    if space.mesh is None:
        raise InputError(
            "patches spread along a cortex, and these sources are on none; give a forward whose "
            "source space is a cortex, or use the model 'gaussian'"
        )


def _heads(obs: Observation) -> HeadPrior | None:
    """What the true head may be, given the assumed one; None where it cannot be redrawn."""
    if obs.forward.banked is None:
        return None
    from bayesesi.prior import heads_around

    return heads_around(obs.sensors.origin)


def along_normals(forward: ForwardOperator) -> ForwardOperator:
    """Fix the sources of ``forward`` along the cortex' normals; its provenance says so.

    Raises
    ------
    InputError : sources that are on no cortex.
    """
    _check_cortex(forward.source_space)
    if forward.orientation == "fixed":
        return forward
    along = forward.fixed()
    said = "fixed along the cortex' normals, as patches are (the forward is {})"
    note = {"orientation": said.format(forward.orientation)}
    return replace(along, provenance={**forward.provenance, **note})
