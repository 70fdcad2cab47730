"""A virtual laboratory: sources, head and noise brought together, and a window cut out."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from bayesesi.spec.base import Spec, Table, between
from bayesesi.spec.quantity import Quantity
from bayesesi.spec.source import ACTIVE_SHARE


def _uniform(low: float, high: float) -> Quantity:
    return Quantity(family="uniform", numbers=(low, high))


#: Samples of a window, as ``observe`` takes them.
LONGEST = 5000
#: As ``forward.MONTAGES`` has them; a test compares the two.
MontageFamily = Literal["eeg19", "eeg21", "eeg32", "eeg64", "eeg75", "eeg128", "eeg256"]
Milliseconds = Annotated[Quantity, between(0.0, 20_000.0, "a time in ms")]
Width = Annotated[Quantity, between(0.5, 20_000.0, "a width in ms")]
Hertz = Annotated[Quantity, between(0.05, 200.0, "a frequency in Hz")]


class Frame(Table):
    """One moment: no course at all."""

    family: Literal["frame"]


class Erp(Table):
    """A few Gaussian components of alternating sign after time 0.

    Attributes
    ----------
    n_components : 1 to 6. latency_ms : of each peak. width_ms : sd of each component.
    """

    family: Literal["erp"]
    n_components: Annotated[int, Field(ge=1, le=6)] = 2
    latency_ms: Milliseconds = _uniform(60.0, 300.0)
    width_ms: Width = _uniform(10.0, 40.0)


class Spike(Table):
    """An interictal spike and the slow wave behind it, around time 0.

    Attributes
    ----------
    width_ms : sd of the spike, .7 of it before and 1.3 of it behind the peak.
    wave_ms : sd of the slow wave. wave_share : its size as a share of the spike's.
    """

    family: Literal["spike"]
    width_ms: Width = _uniform(10.0, 30.0)
    wave_ms: Width = _uniform(60.0, 150.0)
    wave_share: Annotated[Quantity, between(0.0, 3.0, "a ratio")] = _uniform(0.0, 0.8)


class Oscillation(Table):
    """A burst with a Gaussian envelope.

    Attributes
    ----------
    frequency_Hz : of the sine. duration_ms : width of the envelope at half its height.
    """

    family: Literal["oscillation"]
    frequency_Hz: Hertz = _uniform(4.0, 30.0)
    duration_ms: Width = _uniform(100.0, 500.0)


class Ictal(Table):
    """Rhythmic activity that grows and slows, with a harmonic.

    Attributes
    ----------
    frequency_Hz : at the first sample. slowing : share of it that is lost by the last sample.
    growth : the size grows by e^growth over the window.
    """

    family: Literal["ictal"]
    frequency_Hz: Hertz = _uniform(3.0, 12.0)
    slowing: Annotated[Quantity, between(0.0, 1.0, "a share")] = _uniform(0.0, 0.4)
    growth: Annotated[Quantity, between(0.0, 10.0, "a factor")] = _uniform(0.5, 3.0)


#: As ``dynamics.ACTIVITIES`` has them; a test compares the two.
MASS_ACTIVITIES = {
    "jansen-rit": ("alpha", "spikes"),
    "wendling": (
        "background",
        "sporadic-spikes",
        "spikes",
        "rhythm",
        "low-voltage-fast",
        "ictal",
    ),
}
Ratio = Annotated[Quantity, between(0.0, 10.0, "a ratio")]


class NeuralMass(Table):
    """The membrane potential of a neural mass, one for each source, less its mean.

    ``activity`` sets all parameters of the model (Jansen & Rit 1995; Wendling et al. 2002); four of
    them are uncertain, as ratios to what it sets: A, B, and mean and sd of the input.

    Attributes
    ----------
    model : ``"jansen-rit"`` or ``"wendling"``. excitation_ratio, slow_inhibition_ratio : of A, B.
    input_ratio, noise_ratio : of mean and sd of the input.
    """

    family: Literal["neural-mass"]
    model: Literal["jansen-rit", "wendling"] = "wendling"
    activity: Literal[
        "alpha",
        "background",
        "sporadic-spikes",
        "spikes",
        "rhythm",
        "low-voltage-fast",
        "ictal",
    ] = "ictal"
    excitation_ratio: Ratio = _uniform(0.97, 1.03)
    slow_inhibition_ratio: Ratio = _uniform(0.97, 1.03)
    input_ratio: Ratio = _uniform(0.97, 1.03)
    noise_ratio: Ratio = _uniform(0.5, 1.5)

    @model_validator(mode="after")
    def _activity_of_model(self) -> NeuralMass:
        allowed = MASS_ACTIVITIES[self.model]
        if self.activity not in allowed:
            raise ValueError(
                f"activity of model {self.model!r} is one of {', '.join(allowed)}, not "
                f"{self.activity!r}"
            )
        return self


TimeCourse = Annotated[
    Frame | Erp | Spike | Oscillation | Ictal | NeuralMass, Field(discriminator="family")
]


class MontageSpec(Table):
    """Which electrodes there are, and what happens to them."""

    families: dict[MontageFamily, Annotated[float, Field(ge=1e-6, le=1e6)]] = Field(
        default={"eeg64": 1.0}, min_length=1, description="relative weights of montages"
    )
    missing: Annotated[float, Field(ge=0, le=0.5)] = Field(
        0.0, description="probability that a channel is not there"
    )
    bad: Annotated[float, Field(ge=0, le=0.5)] = Field(
        0.0, description="probability that a channel is bad, and marked so"
    )
    reference: str = Field(
        "average", description="average, or the channel that volts are measured against"
    )


class SimulatorSpec(Spec):
    """Names of a source, a head and a noise prior, and how a recording is taken.

    Attributes
    ----------
    time_course : of a source in the window. montage : electrodes. sfreq_Hz : samples a second.
    n_trials : averaged in a recording.
    """

    kind: ClassVar[str] = "simulators"

    source: str = Field(description="a spec under priors/sources")
    head: str = Field(description="a spec under priors/heads")
    noise: str = Field(description="a spec under priors/noise")
    time_course: TimeCourse
    montage: MontageSpec = MontageSpec()
    sfreq_Hz: Annotated[float, Field(gt=0, le=20_000)] = 250.0
    window_ms: tuple[float, float] = Field((0.0, 0.0), description="first and last sample")
    band_Hz: tuple[Annotated[float, Field(ge=0)], Annotated[float, Field(gt=0)]] = Field(
        (0.5, 100.0), description="of the recording's filter; noise falls off outside it"
    )
    n_trials: Annotated[int, Field(ge=1, le=10_000)] = 1
    snr_db: Annotated[Quantity, between(-40.0, 60.0, "an SNR in dB")] | None = Field(
        None,
        description="10 log10 of mean square event over mean square noise, average reference, "
        "over channels and window, of the average; if given, it sets the size of the noise",
    )
    active_share: Annotated[float, Field(gt=0, lt=1)] = Field(
        ACTIVE_SHARE, description="a region is active with this share of the event's energy"
    )

    @model_validator(mode="after")
    def _window(self) -> SimulatorSpec:
        first, last = self.window_ms
        if first > last:
            raise ValueError(f"window_ms goes from first to last, not from {first:g} to {last:g}")
        n_samples = (last - first) * 1e-3 * self.sfreq_Hz + 1
        if n_samples > LONGEST:
            raise ValueError(
                f"window_ms holds {n_samples:.0f} samples, more than the {LONGEST} of an event; "
                "shorten it or lower sfreq_Hz"
            )
        if isinstance(self.time_course, Erp):
            reach = self.time_course.latency_ms.bounds
            if reach[0] < first or reach[1] > last:
                raise ValueError(
                    f"time_course.latency_ms reaches {reach[0]:g} to {reach[1]:g}, outside the "
                    f"window of {first:g} to {last:g} ms; narrow it, or widen window_ms"
                )
        low, high = self.band_Hz
        if not low < high <= self.sfreq_Hz / 2:
            raise ValueError(
                f"band_Hz goes from low to high and ends below half of sfreq_Hz, "
                f"{self.sfreq_Hz / 2:g}, not from {low:g} to {high:g}"
            )
        if (self.time_course.family == "frame") != (first == last):
            raise ValueError("a frame has a window of one moment, everything else a longer one")
        return self
