"""From a spec's name to the prior it stands for."""

from __future__ import annotations

from pathlib import Path

from bayesesi.anatomy import template_modes, template_parcellation
from bayesesi.deprecated import renamed
from bayesesi.errors import InputError
from bayesesi.prior.focal import DipolePrior, PatchPrior
from bayesesi.prior.head import HeadPrior
from bayesesi.prior.mixture import MixturePrior
from bayesesi.prior.noise import NoisePrior
from bayesesi.prior.parcel import ParcelPrior
from bayesesi.prior.smooth import SmoothPrior
from bayesesi.prior.source import SourcePrior
from bayesesi.prior.volume_dipole import VolumeDipolePrior
from bayesesi.spec import (
    DipoleSpec,
    HeadSpec,
    MixtureSpec,
    NoiseSpec,
    ParcelSpec,
    PatchSpec,
    SmoothSpec,
    Spec,
    VolumeDipoleSpec,
    read_spec,
)

Prior = SourcePrior | HeadPrior | NoisePrior


@renamed(level="ico")
def read_prior(name_or_path: str | Path, ico: int = 5, folder: Path | None = None) -> Prior:
    """Read a prior of sources, heads or noise; ``name_or_path`` is its name or a TOML file.

    ``ico`` 1 to 5: level of the template's cortex on which events live, 5 has 20,484 sources.
    ``folder`` is that of a spec which names this one.

    Raises
    ------
    InputError : a spec with mistakes, or of another kind.
    """
    return make_prior(read_spec(name_or_path, folder), ico)


def make_prior(spec: Spec, ico: int = 5) -> Prior:
    """Make the prior that ``spec`` declares, of sources at ``ico`` 1 to 5 of the template.

    Raises
    ------
    InputError : a spec of another kind.
    """
    if isinstance(spec, DipoleSpec):
        return DipolePrior(spec, template_parcellation(ico))
    if isinstance(spec, PatchSpec):
        return PatchPrior(spec, template_parcellation(ico))
    if isinstance(spec, ParcelSpec):
        return ParcelPrior(spec, template_parcellation(ico))
    if isinstance(spec, SmoothSpec):
        return SmoothPrior(spec, template_parcellation(ico), template_modes())
    if isinstance(spec, VolumeDipoleSpec):
        return VolumeDipolePrior(spec, template_parcellation(ico))
    if isinstance(spec, MixtureSpec):
        parts = tuple(read_source_prior(part.spec, ico, spec.folder) for part in spec.components)
        return MixturePrior(spec, template_parcellation(ico), parts)
    if isinstance(spec, HeadSpec):
        return HeadPrior(spec)
    if isinstance(spec, NoiseSpec):
        return NoisePrior(spec)
    raise InputError(
        f"{spec.name!r} is a simulator, no prior; call bayesesi.read_simulator({spec.name!r})"
    )


def heads_around(origin: str) -> HeadPrior:
    """Choose the prior of the true head around the template's by ``origin`` of ``Sensors``."""
    heads = read_prior("template-digitised" if origin == "measured" else "template-nominal")
    assert isinstance(heads, HeadPrior)
    return heads


def read_source_prior(
    name_or_path: str | Path, ico: int = 5, folder: Path | None = None
) -> SourcePrior:
    """Read a prior of sources: ``name_or_path``, ``ico`` and ``folder`` as in ``read_prior``.

    Raises
    ------
    InputError : a spec with mistakes, or of another kind.
    """
    prior = read_prior(name_or_path, ico, folder)
    if not isinstance(prior, SourcePrior):
        raise InputError(f"{name_or_path!r} is not a source prior; see `bayesesi specs`")
    return prior
