"""An immutable snapshot of a model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, NoReturn

from kaptain_kfp.model.frameworks import ModelFramework

__all__ = ["ModelMeta"]


@dataclass(frozen=True, kw_only=True)
class ModelMeta:
    """A copy of all properties of a model, as they were when it was made.

    It shares nothing with the model and nothing in it can be changed: lists become tuples,
    dictionaries read-only ones.

    Attributes:
        id: Unique identifier of the model.
        name: Short name.
        description: Description.
        version: Version that the user gave it.
        framework: Machine learning framework.
        framework_version: Version of the framework.
        main_file: Main Python file.
        image_name: Repository of the image.
        base_image: What the image is built on.
        extra_files: Further files and folders.
        requirements: Requirements file, or None.
        labels: Labels.
        state: Where it is in its life: ``untrained``, ``trained``, ...
        revision: Changes with each training, tuning and deployment.
        hyperparameters: Those that it was trained with, or None.
        metrics: Those recorded by its training, or None.
        model_uri: Where the newest trained model lies, or None.
    """

    id: str
    name: str
    description: str
    version: str
    framework: ModelFramework
    framework_version: str
    main_file: str
    image_name: str
    base_image: str
    extra_files: tuple[str, ...] = ()
    requirements: str | None = None
    labels: tuple[str, ...] = ()
    state: str
    revision: str
    hyperparameters: Mapping[str, Any] | None = None
    metrics: Mapping[str, Any] | None = None
    model_uri: str | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            object.__setattr__(self, field.name, _frozen(getattr(self, field.name)))


class _ReadOnlyDict(dict[str, Any]):
    """A dictionary that refuses changes, yet prints, compares and becomes JSON like any other."""

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise TypeError("A ModelMeta is a snapshot and can't be changed; change the model.")

    __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(frozenset(self.items()))

    def __reduce__(self) -> tuple[type[_ReadOnlyDict], tuple[dict[str, Any]]]:
        return _ReadOnlyDict, (dict(self),)


def _frozen(value: Any) -> Any:
    if isinstance(value, Mapping):
        return _ReadOnlyDict({key: _frozen(item) for key, item in value.items()})
    if isinstance(value, (list, tuple)):
        return tuple(_frozen(item) for item in value)
    return value
