"""The verdict on one recording: what its posterior and its cards say, put together."""

from __future__ import annotations

from bayesesi.inference.apply_card import CardReading
from bayesesi.model import LearnedModel, Model
from bayesesi.observation import Observation
from bayesesi.posterior import Posterior
from bayesesi.trust import Trust, VerdictInputs, assess, at_even_odds


def verdict_of(posterior: Posterior, model: Model, earned: CardReading) -> Trust:
    """Return the verdict, from what was measured and what the cards say.

    Parameters
    ----------
    posterior : of the recording. model : that gave it. earned : of its cards.
    """
    obs = posterior.obs
    caveat = (posterior.caveat or _own_head(obs)) if earned.card is None else earned.off
    return assess(
        VerdictInputs(
            null=at_even_odds(posterior.null_probability, model.prior_null),
            r_hat=posterior.r_hat,
            sample_efficiency=posterior.sample_efficiency,
            outside=posterior.outside,
            caveat=caveat,
            unusual=earned.unusual,
            odd=earned.odd,
            set_share=earned.set_share,
            channels=len(obs.sensors),
            eeg=not isinstance(model, LearnedModel) or set(obs.sensors.kinds) == {"eeg"},
            not_calibrated="" if caveat else earned.not_calibrated,
            most_sources=_most_sources(posterior),
            assumed_noise=obs.provenance.get("noise_cov") == "adhoc",
        )
    )


def _most_sources(posterior: Posterior) -> float | None:
    """Probability of the largest number of sources, given that there is one."""
    found = posterior.details().get("count_probability")
    if not found or len(found) < 3:
        return None
    return float(found[-1] / max(sum(found[1:]), 1e-12))


def _own_head(obs: Observation) -> str:
    """Return the caveat of a head model that is assumed exact, where no card applies."""
    if obs.forward.banked is not None:
        return ""
    return (
        "the head model is assumed exact and the method was not calibrated for it; if the head "
        "model is wrong, the stated uncertainty is too small"
    )
