"""The distribution of features of simulated recordings, and tests against it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from pydantic import model_validator
from scipy.special import logsumexp

from bayesesi.spec.base import Table
from bayesesi.trust.ood_features import OOD_FEATURES

#: Meaning of an unusual feature, by the side on which it lies.
_ODD = {
    ("surprise", 1): "channel values disagree with predictions from neighbouring channels",
    ("worst_channel", 1): "one channel disagrees strongly with the prediction from the others",
    ("foreseen", -1): "channels do not predict each other",
    ("residual", 1): "the residual is much larger than noise",
    ("held_out", -1): "the estimated sources predict left-out channels badly",
    ("held_out_score", -1): "the estimated sources predict left-out channels badly",
    ("smooth", -1): "the topography is rougher than that of sources in a head",
    ("smoother", -1): "the topography is rougher than that of sources in a head",
    ("one_channel", 1): "almost all of the signal is on one channel",
    (
        "artifact",
        1,
    ): "it resembles an artifact (eyes, muscle, heart or one electrode) more than a source",
    ("power", 1): "the signal is much larger than the supplied noise covariance implies",
    ("fast", 1): "the signal is faster than the simulated sources",
}
#: Mixture components, and the floor of their variances (features have unit variance).
_COMPONENTS, _FLOOR = 8, 1e-2
#: Tail probability beyond which one feature is listed as unusual.
_ODD_SHARE = 0.005
_ARTIFACT = OOD_FEATURES.index("artifact")


class OODDetector(Table):
    """Hold the distribution of features of simulated recordings: a Gaussian mixture (scikit-learn).

    Attributes
    ----------
    names : of the features, as in ``trust.ood_features``. centre, size : to unit variance.
    weight, mean, precision : of the components; the last are Cholesky factors of precisions.
    surprise, artifact : minus the log density, and the feature ``artifact``, of cases that the
        mixture was not fitted to, each sorted.
    low, high : (F,) limits of each feature beyond which it is listed as unusual.
    """

    names: tuple[str, ...]
    centre: tuple[float, ...]
    size: tuple[float, ...]
    weight: tuple[float, ...]
    mean: tuple[tuple[float, ...], ...]
    precision: tuple[tuple[tuple[float, ...], ...], ...]
    surprise: tuple[float, ...]
    artifact: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]

    @model_validator(mode="after")
    def _fits(self) -> OODDetector:
        f, k = len(self.names), len(self.weight)
        if self.names != OOD_FEATURES:
            raise ValueError("names are not the features of this version")
        if min(self.size, default=0) <= 0 or min(self.weight, default=0) <= 0:
            raise ValueError("size and weight must be above 0")
        if not all(len(v) == f for v in (self.centre, self.size, self.low, self.high, *self.mean)):
            raise ValueError("centre, size, low, high and means need one number per name")
        if len(self.mean) != k or np.shape(self.precision) != (k, f, f):
            raise ValueError("mean and precision need one entry per weight")
        if not len(self.surprise) == len(self.artifact) >= 1:
            raise ValueError("surprise and artifact need the same cases, at least one")
        if (np.diff(self.surprise) < 0).any() or (np.diff(self.artifact) < 0).any():
            raise ValueError("surprise and artifact must be sorted")
        return self

    @classmethod
    def of(cls, fitted: NDArray[np.floating], held_out: NDArray[np.floating]) -> OODDetector:
        """Fit to features of cases; the tails come from features of other cases.

        Parameters
        ----------
        fitted, held_out : (n, F) features of both.
        """
        from sklearn.mixture import GaussianMixture

        fitted, held_out = np.asarray(fitted, float), np.asarray(held_out, float)
        centre, size = fitted.mean(axis=0), np.maximum(fitted.std(axis=0), 1e-6)
        n = int(np.clip(len(fitted) // 60, 1, _COMPONENTS))
        law = GaussianMixture(n, reg_covar=_FLOOR, random_state=0).fit((fitted - centre) / size)
        made = cls(
            names=OOD_FEATURES,
            centre=_short(centre),
            size=_short(size),
            weight=_short(law.weights_),
            mean=tuple(_short(m) for m in law.means_),
            precision=tuple(tuple(_short(r) for r in p) for p in law.precisions_cholesky_),
            surprise=(0.0,),
            artifact=(0.0,),
            low=_short(np.quantile(fitted, _ODD_SHARE, axis=0)),
            high=_short(np.quantile(fitted, 1 - _ODD_SHARE, axis=0)),
        )
        kept = {
            "surprise": _short(np.sort(made.surprise_of(held_out))),
            "artifact": _short(np.sort(held_out[:, _ARTIFACT])),
        }
        return made.model_copy(update=kept)

    def surprise_of(self, signs: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return (n,) minus the log density of features.

        Parameters
        ----------
        signs : (n, F) features.
        """
        z = (np.asarray(signs, float) - self.centre) / self.size
        each = []
        for weight, mean, factor in zip(self.weight, self.mean, self.precision, strict=True):
            root = np.array(factor)
            y = (z - mean) @ root
            each.append(np.log(weight) - 0.5 * (y**2).sum(axis=1) + np.log(np.diag(root)).sum())
        half = 0.5 * len(self.names) * np.log(2 * np.pi)
        return np.asarray(half - logsumexp(each, axis=0))

    def p_value(self, signs: NDArray[np.floating]) -> NDArray[np.float64]:
        """Return (n,) p-values: at most a share alpha of simulated recordings has alpha or less.

        Twice the smaller of two shares: of cases whose features are jointly as improbable, and of
        cases that an artifact explains as well compared with a source. Recordings that artifacts
        explain better than any source are rare without lying far from the others, so the first
        share alone misses them.

        Parameters
        ----------
        signs : (n, F) features.
        """
        signs = np.atleast_2d(np.asarray(signs, float))
        each = [
            _beyond(self.surprise_of(signs), self.surprise),
            _beyond(signs[:, _ARTIFACT], self.artifact),
        ]
        return np.minimum(2 * np.minimum(*each), 1.0)

    def odd(self, signs: NDArray[np.floating]) -> tuple[str, ...]:
        """Return in words the features that are unusual, the most unusual first.

        Parameters
        ----------
        signs : (F,) features.
        """
        found = []
        for k, name in enumerate(self.names):
            value = float(signs[k])
            side = 1 if value > self.high[k] else -1 if value < self.low[k] else 0
            if side and (name, side) in _ODD:
                end = self.high[k] if side > 0 else self.low[k]
                found.append((-abs(value - end) / self.size[k], _ODD[name, side]))
        return tuple(dict.fromkeys(words for _, words in sorted(found)))


def _beyond(found: NDArray[np.floating], cases: tuple[float, ...]) -> NDArray[np.float64]:
    """Return (n,) the share of the sorted cases that lie as far out, this one included."""
    rounded = np.array(_short(found))
    further = len(cases) - np.searchsorted(cases, rounded, side="left")
    return np.asarray((further + 1) / (len(cases) + 1))


def _short(values: NDArray[np.floating]) -> tuple[float, ...]:
    return tuple(float(f"{v:.5g}") for v in np.asarray(values, float))
