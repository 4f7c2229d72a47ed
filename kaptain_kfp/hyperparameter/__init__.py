"""What can be tuned, and how: search algorithms and the domains of hyperparameters."""

from kaptain_kfp.hyperparameter.algorithms import Algorithm
from kaptain_kfp.hyperparameter.domains import Categorical, Discrete, Domain, Double, Integer

__all__ = ["Algorithm", "Categorical", "Discrete", "Domain", "Double", "Integer"]
