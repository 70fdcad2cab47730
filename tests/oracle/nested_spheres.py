"""The exact EEG potential of a current dipole in concentric spherical shells: a test oracle."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

TAIL = 1e-12  # truncation error allowed, relative to the term n = 1


def sphere_leadfield(
    radii: ArrayLike,
    conductivities: ArrayLike,
    sources: ArrayLike,
    electrodes: ArrayLike,
    n_terms: int | None = None,
) -> NDArray[np.float64]:
    """Potential on the outer sphere of a unit dipole along x, y and z.

    By reciprocity (Rush & Driscoll 1969) the leadfield of an electrode is the gradient, at the
    source, of the potential that unit current injected at the electrode and taken out evenly over
    the outer sphere sets up in the innermost sphere:

        L(e, s) = grad_x sum_{n>=1} c_n |x|^n P_n(cos gamma) / R
                = sum_{n>=1} c_n (D_n u - D_{n-1} x) / R,    D_n = |x|^(n-1) P_n'(cos gamma),

    where R is the outer radius, x = s / R, u = e / |e|, gamma the angle between s and e, P_n the
    Legendre polynomials and c_n (V/A) the radial transfer of the shells (see ``_transfer``). D_n
    is a polynomial in x, so a source at the centre needs no special case. The same potential as
    in de Munck & Peters (1993), Zhang (1995), Sun (1997) and Naess et al. (2017, 4 spheres).

    Parameters
    ----------
    radii : (N,) outer radius of each shell, inner to outer, m.
    conductivities : (N,) S/m, in the order of ``radii``.
    sources : (S, 3) dipole positions, m, strictly inside ``radii[0]``; the centre is the origin.
    electrodes : (C, 3) m, projected along their radius onto the outer sphere.
    n_terms : terms of the series. By default as many as keep the truncation error below 1e-12 of
        the term n = 1, hence below 2e-12 of the root mean square potential over the sphere; some
        30 / (1 - max |s| / R) terms.

    Returns
    -------
    leadfield : (C, S, 3) V/(A m), with zero mean over the outer sphere.
    """
    radii = np.asarray(radii, dtype=np.float64)
    conductivities = np.asarray(conductivities, dtype=np.float64)
    sources = np.asarray(sources, dtype=np.float64)
    electrodes = np.asarray(electrodes, dtype=np.float64)
    if radii.ndim != 1 or radii.size == 0 or not np.all(np.diff(radii, prepend=0.0) > 0):
        raise ValueError(f"radii must be positive and increase from inner to outer; got {radii}.")
    if conductivities.shape != radii.shape or not np.all(conductivities > 0):
        raise ValueError(
            f"conductivities must be {radii.size} positive values, one per radius; "
            f"got {conductivities}."
        )
    depth = np.linalg.norm(sources, axis=1)
    if not np.all(depth < radii[0]):
        raise ValueError(
            f"sources must lie strictly inside the inner sphere, |s| < {radii[0]:g} m; "
            f"got |s| up to {depth.max():g} m."
        )

    x = sources / radii[-1]
    u = electrodes / np.linalg.norm(electrodes, axis=1, keepdims=True)
    if n_terms is None:
        n_terms = _terms_needed(radii, conductivities, depth.max(initial=0.0) / radii[-1])
    z, x2 = u @ x.T, np.sum(x**2, axis=1)
    before, now = np.zeros_like(z), np.ones_like(z)  # D_0, D_1
    along_u, along_x = np.zeros_like(z), np.zeros_like(z)
    for n, c in enumerate(_transfer(radii, conductivities, n_terms), start=1):
        along_u += c * now
        along_x += c * before
        before, now = now, ((2 * n + 1) * z * now - (n + 1) * x2 * before) / n  # D_n, D_{n+1}
    leadfield: NDArray[np.float64] = along_u[..., None] * u[:, None, :] - along_x[..., None] * x
    leadfield /= radii[-1]
    return leadfield


def _transfer(
    radii: NDArray[np.float64], conductivities: NDArray[np.float64], n_terms: int
) -> NDArray[np.float64]:
    """c_n, n = 1 .. n_terms (V/A): c_n = (2 n + 1) / (4 pi R sigma_N t_N g_1 ... g_{N-1}).

    In each shell v(r) = a r^n + b r^-(n+1). From the inner to the outer radius of a shell, whose
    ratio is rho < 1, carry t = r v'/v (t = n in the innermost sphere; across an interface v and
    sigma t are continuous) and the gain g = rho^n v(outer) / v(inner). With
    beta = (n - t) / (2 n + 1), the share of r^-(n+1) in v(inner), and q = rho^(2n+1),

        g = 1 - beta (1 - q),    t(outer) = (t + (n + 1) beta (1 - q)) / g.

    t and g stay positive and of order n and 1: nothing cancels, over- or underflows.
    """
    n = np.arange(1.0, n_terms + 1)
    t, gain = n, np.ones_like(n)
    for k in range(radii.size - 1):
        t = t * conductivities[k] / conductivities[k + 1]
        rest = -np.expm1((2 * n + 1) * np.log(radii[k] / radii[k + 1]))  # 1 - q
        beta = (n - t) / (2 * n + 1)
        g = 1 - beta * rest
        t, gain = (t + (n + 1) * beta * rest) / g, gain * g
    c: NDArray[np.float64] = (2 * n + 1) / (4 * np.pi * radii[-1] * conductivities[-1] * t * gain)
    return c


def _terms_needed(
    radii: NDArray[np.float64], conductivities: NDArray[np.float64], x_max: float
) -> int:
    """Fewest terms whose tail, sum of n c_n x_max^(n-1), is below TAIL * c_1.

    |grad |x|^n P_n(cos gamma)| <= n |x|^(n-1) (Bernstein-Szego inequality for P_n(cos gamma)).
    """
    x_max = max(x_max, 1e-3)
    n = np.arange(1.0, 2 - 60 / np.log(x_max))  # x_max^n < e^-60 beyond: nothing left
    c = _transfer(radii, conductivities, n.size)
    tail = np.cumsum((n * c * x_max ** (n - 1))[::-1])[::-1]
    return int(np.count_nonzero(tail > TAIL * c[0]))
