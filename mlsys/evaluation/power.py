"""How long a test has to be: units, detectable effect and power are three sides of one equation.

    effect = (z_{1 - α/2} + z_power) · sd · sqrt((1 - explained) / (n · share · (1 - share)))

n units in both arms together, a share of them in treatment; sd: of one unit's value. `explained`: share of the variance
that a covariate takes out (`experiment.explained`), so CUPED with 0.75 needs a quarter of the units. Two-sided, normal:
below some 30 units an arm it promises too much. Units are what is assigned. Source: Bloom, Minimum detectable effects,
Evaluation Review 19 (1995); Deng et al., WSDM (2013).
"""

from __future__ import annotations

import math

from scipy.stats import norm

from mlsys.core import MlsysError


def sample_size(
    effect: float, sd: float, *, power: float = 0.8, alpha: float = 0.05, share: float = 0.5, explained: float = 0.0
) -> int:
    """Units, both arms together, that find `effect` (in the unit of sd) with this power.

    >>> sample_size(0.02, 1.0), sample_size(0.02, 1.0, explained=0.75), sample_size(0.01, 1.0)
    (78489, 19623, 313956)
    """
    if effect == 0:
        raise MlsysError("effect=0", why="no test is long enough to find nothing", fix="name the smallest that matters")
    return math.ceil((_reach(power, alpha) * _error(sd, 1, share, explained) / effect) ** 2)


def mde(
    sd: float, n: float, *, power: float = 0.8, alpha: float = 0.05, share: float = 0.5, explained: float = 0.0
) -> float:
    """Minimum detectable effect of n units, in the unit of sd.

    >>> round(mde(1.0, 78_489), 4), round(mde(1.0, 78_489, explained=0.75), 4)
    (0.02, 0.01)
    """
    return _reach(power, alpha) * _error(sd, n, share, explained)


def power(
    effect: float, sd: float, n: float, *, alpha: float = 0.05, share: float = 0.5, explained: float = 0.0
) -> float:
    """P(the test finds `effect`), on whichever side it lands; alpha itself at effect 0.

    >>> round(power(0.02, 1.0, 78_489), 3), round(power(0.02, 1.0, 20_000), 3)
    (0.8, 0.293)
    """
    shift, bound = effect / _error(sd, n, share, explained), _z(1 - alpha / 2)
    return float(norm.cdf(shift - bound) + norm.cdf(-shift - bound))


def design_effect(size: float, icc: float) -> float:
    """How many times the users it takes if clusters of `size` users are assigned: 1 + (size - 1) · icc.

    icc: share of the variance that lies between clusters. Source: Kish, Survey sampling (1965).

    >>> design_effect(100, 0.05)
    5.95
    """
    return 1 + (size - 1) * icc


def _reach(power: float, alpha: float) -> float:
    """Effect in standard errors."""
    if not (0 < alpha < 1 and alpha / 2 < power < 1):
        raise MlsysError(
            f"power={power}, alpha={alpha}", why="both are probabilities, power the larger", fix="power=0.8, alpha=0.05"
        )
    return _z(1 - alpha / 2) + _z(power)


def _z(quantile: float) -> float:
    return float(norm.ppf(quantile))


def _error(sd: float, n: float, share: float, explained: float) -> float:
    """Standard error of the difference."""
    if not (sd > 0 and n > 0 and 0 < share < 1 and 0 <= explained < 1):
        raise MlsysError(
            f"sd={sd}, n={n}, share={share}, explained={explained}",
            why="sd and n are above 0, shares lie between 0 and 1",
            fix="take sd and explained from a period before the test",
        )
    return sd * math.sqrt((1 - explained) / (n * share * (1 - share)))
