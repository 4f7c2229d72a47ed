"""From a training script to a served model: a pipeline compiler targeting Kubeflow Pipelines.

Importing the package is cheap: what it offers is imported when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from kaptain_kfp.version import __version__

if TYPE_CHECKING:
    from kaptain_kfp.config import Config
    from kaptain_kfp.hyperparameter.algorithms import Algorithm
    from kaptain_kfp.hyperparameter.domains import Categorical, Discrete, Double, Integer
    from kaptain_kfp.model.frameworks import ModelFramework
    from kaptain_kfp.model.models import Model
    from kaptain_kfp.model.pods import PodOptions
    from kaptain_kfp.model.resources import Resources

__all__ = [
    "Algorithm",
    "Categorical",
    "Config",
    "Discrete",
    "Double",
    "Integer",
    "Model",
    "ModelFramework",
    "PodOptions",
    "Resources",
    "__version__",
]

_WHERE = {
    "Algorithm": "kaptain_kfp.hyperparameter.algorithms",
    "Categorical": "kaptain_kfp.hyperparameter.domains",
    "Config": "kaptain_kfp.config",
    "Discrete": "kaptain_kfp.hyperparameter.domains",
    "Double": "kaptain_kfp.hyperparameter.domains",
    "Integer": "kaptain_kfp.hyperparameter.domains",
    "Model": "kaptain_kfp.model.models",
    "ModelFramework": "kaptain_kfp.model.frameworks",
    "PodOptions": "kaptain_kfp.model.pods",
    "Resources": "kaptain_kfp.model.resources",
}


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(import_module(_WHERE[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
