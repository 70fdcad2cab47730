"""What we believe of everything in a recording that is not the event."""

from __future__ import annotations

from pathlib import PurePath
from typing import Annotated, ClassVar, Literal

from pydantic import Field, field_validator

from bayesesi.spec.base import Spec, Table, between
from bayesesi.spec.quantity import Quantity


def _between(low: float, high: float) -> Quantity:
    return Quantity(family="loguniform", numbers=(low, high))


Microvolts = Annotated[Quantity, between(0.0, 1000.0, "a level in µV")]
PerSecond = Annotated[float, Field(ge=0, le=20)]


class White(Table):
    """Amplifier noise: independent in space and time.

    Attributes
    ----------
    level_uV : root mean square over channels in the recording's band, average reference.
    """

    family: Literal["white"]
    level_uV: Microvolts = _between(0.3, 1.5)


class Background(Table):
    """Spontaneous activity all over the cortex, power falling as 1/f to an exponent.

    Attributes
    ----------
    level_uV : root mean square over channels in the recording's band, average reference.
    exponent : of 1/f in power. smoothness_mm : distance along the cortex at which correlation is
        .6.
    """

    family: Literal["background"]
    level_uV: Microvolts = _between(3.0, 12.0)
    exponent: Annotated[Quantity, between(0.0, 3.0, "a spectral exponent")] = Quantity(
        family="uniform", numbers=(0.8, 1.6)
    )
    smoothness_mm: Annotated[Quantity, between(8.0, 100.0, "a smoothness in mm")] = _between(
        10.0, 30.0
    )
    alpha_share: Annotated[float, Field(ge=0, le=1)] = Field(
        0.2, description="share of power in an occipital rhythm of 8 to 12 Hz"
    )


class Pink(Table):
    """1/f noise of the scalp, correlated between electrodes by distance.

    Attributes
    ----------
    level_uV : root mean square over channels in the recording's band, average reference.
    exponent : of 1/f in power. correlation_mm : distance at which correlation falls to 1/e.
    """

    family: Literal["pink"]
    level_uV: Microvolts = _between(2.0, 10.0)
    exponent: Annotated[Quantity, between(0.0, 3.0, "a spectral exponent")] = Quantity(
        family="uniform", numbers=(0.5, 1.5)
    )
    correlation_mm: Annotated[Quantity, between(1.0, 300.0, "a distance in mm")] = _between(
        30.0, 90.0
    )


class Line(Table):
    """Mains hum with its first harmonic.

    Attributes
    ----------
    level_uV : root mean square of a channel before the recording's filter.
    frequency_Hz : of the mains, 50 or 60.
    """

    family: Literal["line"]
    level_uV: Microvolts = _between(0.1, 2.0)
    frequency_Hz: Literal[50, 60] = 50


class Eyes(Table):
    """Blinks and saccades from dipoles in the two eyes.

    Attributes
    ----------
    level_uV : peak of a blink at the electrode where it is largest; a saccade has .3 of it.
    blinks_per_s, saccades_per_s : mean rates.
    """

    family: Literal["eyes"]
    level_uV: Microvolts = _between(30.0, 150.0)
    blinks_per_s: PerSecond = 0.2
    saccades_per_s: PerSecond = 0.3


class Muscle(Table):
    """Bursts of 20 Hz and more over frontal and temporal muscles.

    Attributes
    ----------
    level_uV : peak at the electrode where a burst is largest. bursts_per_s : mean rate.
    """

    family: Literal["muscle"]
    level_uV: Microvolts = _between(1.0, 10.0)
    bursts_per_s: PerSecond = 0.3


class Heart(Table):
    """The QRS complex, seen from afar.

    Attributes
    ----------
    level_uV : peak of R at the electrode where it is largest. rate_per_min : beats.
    """

    family: Literal["heart"]
    level_uV: Microvolts = _between(0.5, 4.0)
    rate_per_min: Annotated[Quantity, between(30.0, 200.0, "a heart rate")] = Quantity(
        family="uniform", numbers=(55.0, 90.0)
    )


class Pops(Table):
    """Steps of single electrodes that decay.

    Attributes
    ----------
    level_uV : height of a step. pops_per_s : mean rate of all electrodes together.
    """

    family: Literal["pops"]
    level_uV: Microvolts = _between(10.0, 60.0)
    pops_per_s: PerSecond = 0.05


class Drift(Table):
    """Slow wandering of each electrode.

    Attributes
    ----------
    level_uV : root mean square before the recording's filter, average reference.
    below_Hz : frequency above which its power falls off.
    """

    family: Literal["drift"]
    level_uV: Microvolts = _between(1.0, 10.0)
    below_Hz: Annotated[float, Field(gt=0, le=2)] = 0.3


class Recorded(Table):
    """Noise with the covariance of a file the user gives, and of a recording its spectrum."""

    family: Literal["covariance"]
    file: str = Field(description="-cov.fif, -raw.fif or -epo.fif file, beside the spec")

    @field_validator("file")
    @classmethod
    def _beside(cls, file: str) -> str:
        path = PurePath(file)
        if path.is_absolute() or ".." in path.parts:
            raise ValueError(f"must be a path below the spec's folder, not {file!r}")
        return file


Component = Annotated[
    White | Background | Pink | Line | Eyes | Muscle | Heart | Pops | Drift | Recorded,
    Field(discriminator="family"),
]


class Estimate(Table):
    """How the covariance that whitens was estimated: the true one made the noise.

    Attributes
    ----------
    baseline_s : length of the stretch it is computed from.
    """

    baseline_s: Annotated[Quantity, between(0.1, 3600.0, "a duration in s")] = _between(5.0, 120.0)
    shrinkage: Annotated[float, Field(ge=0, le=1)] | Literal["ledoit-wolf"] = Field(
        "ledoit-wolf",
        description="weight of independent channels, or as Ledoit and Wolf choose it",
    )


class NoiseSpec(Spec):
    """A sum of components, with a level that may change from trial to trial.

    Attributes
    ----------
    components : tables of the families above, at least one. estimate : of the covariance.
    """

    kind: ClassVar[str] = "noise"

    family: Literal["sum"]
    components: tuple[Component, ...] = Field(min_length=1)
    level_changes: Annotated[Quantity, between(0.1, 10.0, "a factor")] = Field(
        Quantity(family="constant", numbers=(1.0,)),
        description="factor on everything in the window against the baseline",
    )
    estimate: Estimate = Estimate()
