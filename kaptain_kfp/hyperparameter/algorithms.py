"""The search algorithms of Katib."""

from __future__ import annotations

from enum import Enum

from kaptain_kfp.exceptions import UnsupportedAlgorithmException

__all__ = ["Algorithm"]


class Algorithm(Enum):
    """A search algorithm; the value is its name in Katib."""

    RANDOM = "random"
    GRID = "grid"
    BAYESIAN_OPTIMIZATION = "bayesianoptimization"
    TPE = "tpe"
    MULTIVARIATE_TPE = "multivariate-tpe"
    CMAES = "cmaes"
    SOBOL = "sobol"
    HYPERBAND = "hyperband"
    PBT = "pbt"
    ENAS = "enas"
    DARTS = "darts"

    @staticmethod
    def of(algorithm: str | None) -> Algorithm | None:
        """Converts the name of a search algorithm to an Algorithm.

        Args:
            algorithm: The name, in upper or lower case; None stays None.

        Raises:
            UnsupportedAlgorithmException: There is no such algorithm.
        """
        if algorithm is None:
            return None
        try:
            return Algorithm(algorithm.lower())
        except (ValueError, AttributeError):
            known = ", ".join(known.value for known in Algorithm)
            raise UnsupportedAlgorithmException(
                f"algorithm={algorithm!r} is not supported.", hint=f"Give one of {known}."
            ) from None
