"""The machine learning frameworks, and what each of them means for the work."""

from __future__ import annotations

from enum import Enum
from typing import Literal

from kaptain_kfp.exceptions import UnsupportedModelFrameworkException

__all__ = ["ModelFramework"]


class ModelFramework(Enum):
    """The framework that a model is written in."""

    TENSORFLOW = "tensorflow"
    PYTORCH = "pytorch"
    SKLEARN = "sklearn"
    XGBOOST = "xgboost"
    LIGHTGBM = "lightgbm"
    ONNX = "onnx"
    MXNET = "mxnet"
    CUSTOM = "custom"

    @staticmethod
    def of(framework: str | ModelFramework) -> ModelFramework:
        """Converts the name of a framework to a ModelFramework.

        Args:
            framework: A name in upper or lower case, also a usual other one such as ``tf``,
                ``torch``, ``scikit-learn`` or ``lgbm``; a ModelFramework stays what it is.

        Raises:
            UnsupportedModelFrameworkException: There is no such framework.
        """
        if isinstance(framework, ModelFramework):
            return framework
        try:
            name = framework.lower()
            return ModelFramework(_OTHER_NAMES.get(name, name))
        except (ValueError, AttributeError):
            known = ", ".join(known.value for known in ModelFramework)
            raise UnsupportedModelFrameworkException(
                f"framework={framework!r} is not supported.", hint=f"Give one of {known}."
            ) from None

    @property
    def job_kind(self) -> Literal["TFJob", "PyTorchJob", "Job"]:
        """The kind of the object that trains it."""
        if self is ModelFramework.TENSORFLOW:
            return "TFJob"
        return "PyTorchJob" if self is ModelFramework.PYTORCH else "Job"

    @property
    def container_name(self) -> str:
        """The name of the container that trains it; operators look for theirs."""
        return self.value

    @property
    def servable(self) -> bool:
        """Whether there is a model server for it."""
        return self not in (ModelFramework.MXNET, ModelFramework.CUSTOM)


_OTHER_NAMES = {
    "tf": "tensorflow",
    "torch": "pytorch",
    "scikit-learn": "sklearn",
    "scikit_learn": "sklearn",
    "scikitlearn": "sklearn",
    "xgb": "xgboost",
    "lgbm": "lightgbm",
    "lgb": "lightgbm",
}
