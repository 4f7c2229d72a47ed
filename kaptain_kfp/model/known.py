"""What a model is, and what its records tell of it."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

from kaptain_kfp.config import Config, config_or_default
from kaptain_kfp.exceptions import RunNotFoundError, UndefinedModelProperty
from kaptain_kfp.image.checksum import image_tag
from kaptain_kfp.runs.base import RunHandle
from kaptain_kfp.specs import Definition, MetricSummary, ModelIdentity, Record
from kaptain_kfp.store.records import Records

from .actions import close_finished_runs
from .frameworks import ModelFramework
from .identity import validate_model_id
from .meta import ModelMeta
from .states import ModelState, ModelStatus, fold, newer_runs
from .validation import defined, require
from .world import World, Worlds

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ["KnownModel"]


class KnownModel:
    """The properties of a model, and its history: the same for everybody who asks.

    Arguments and errors are those of `Model`.
    """

    def __init__(
        self,
        id: str,
        name: str,
        description: str,
        version: str,
        framework: ModelFramework,
        framework_version: str,
        main_file: str,
        image_name: str,
        base_image: str,
        extra_files: list[str] | None = None,
        requirements: str | None = None,
        labels: list[str] | None = None,
        config: Config | None = None,
        serving_config: dict[str, str] | None = None,
    ) -> None:
        self.id = validate_model_id(require("id", id))
        self.name = require("name", name)
        self.description = require("description", description)
        self.version = require("version", version)
        self.framework = ModelFramework.of(defined("framework", framework))
        self.framework_version = require("framework_version", framework_version)
        self.main_file = require("main_file", main_file)
        self.image_name = require("image_name", image_name)
        self.base_image = require("base_image", base_image)
        image_tag(image_name, id, self.framework.value, framework_version)
        self.extra_files = list(extra_files) if extra_files is not None else None
        self.requirements = None if requirements is None else require("requirements", requirements)
        self.labels = list(labels) if labels is not None else None
        self.config = config_or_default(config)
        self.serving_config = dict(serving_config) if serving_config is not None else None
        self._first_revision = uuid.uuid4().hex
        self._worlds = Worlds()
        self._last_run: RunHandle | None = None
        self._known: Records | None = None

    def __repr__(self) -> str:
        return f"<Model {self.id} {self.version} ({self.framework.value}), {self.state.value}>"

    @classmethod
    def attach(cls, id: str, *, config: Config | None = None) -> Self:
        """Returns a model that was worked with before, as its records tell: after a restart.

        Args:
            id: The model.
            config: Where its records lie; by default that of the world.

        Raises:
            UndefinedModelProperty: There are no records that say what the model is.
        """
        validate_model_id(require("id", id))
        config = config_or_default(config)
        worlds = Worlds()
        world = worlds.of(config)
        records = Records(world.store, id)
        told = [r.submission for r in records.load() if r.submission is not None]
        if not told:
            raise UndefinedModelProperty(
                f"No run of a model {id!r} was ever submitted to {world.store.uri}.",
                resource=id,
                hint="Correct the id or the config, or make the Model with all its properties.",
            )
        definition = told[-1].definition
        identity = definition.identity
        model = cls(
            id=identity.id,
            name=identity.name,
            description=identity.description,
            version=identity.version,
            framework=ModelFramework.of(identity.framework),
            framework_version=identity.framework_version,
            main_file=definition.main_file,
            image_name=definition.image_name,
            base_image=definition.base_image,
            extra_files=None if definition.extra_files is None else list(definition.extra_files),
            requirements=definition.requirements,
            labels=list(identity.labels) or None,
            config=config,
        )
        model._worlds, model._known = worlds, records
        close_finished_runs(records, world.runner)
        return model

    @property
    def state(self) -> ModelState:
        """Where the model is in its life."""
        return self._status().state

    @property
    def revision(self) -> str:
        """32 hex digits that change with each training, tuning and deployment."""
        return self._status().revision or self._first_revision

    @property
    def hyperparameters(self) -> dict[str, Any] | None:
        """Hyperparameters of the model as defined through an action.

        After a training the values given, after a tuning the best ones found (as text).
        """
        return self._status().hyperparameters

    @property
    def metrics(self) -> dict[str, dict[str, float]] | None:
        """What its training recorded: name → ``latest``, ``min``, ``max``."""
        found = self._status().metrics
        return None if found is None else {name: _numbers(found[name]) for name in sorted(found)}

    @property
    def model_uri(self) -> str | None:
        """Where the newest trained or tuned model lies."""
        return self._status().model_uri

    @property
    def last_run(self) -> RunHandle | None:
        """The newest run of the model, or None; found again after a restart.

        That is the run which this object started last, until one that began after its end.
        """
        runner = self._world().runner
        own = None if self._last_run is None else self._last_run.id
        for run_id in newer_runs(self._records().load(), own):
            try:
                self._last_run = runner.get(run_id)
            except RunNotFoundError:
                continue
            break
        return self._last_run

    def history(self) -> list[Record]:
        """Returns the records of the model, the oldest first."""
        close_finished_runs(self._records(), self._world().runner)
        return self._records().load()

    def meta(self) -> ModelMeta:
        """Returns an immutable snapshot of the model's properties."""
        status = self._status()
        return ModelMeta(
            id=self.id,
            name=self.name,
            description=self.description,
            version=self.version,
            framework=self.framework,
            framework_version=self.framework_version,
            main_file=self.main_file,
            image_name=self.image_name,
            base_image=self.base_image,
            extra_files=tuple(self.extra_files or ()),
            requirements=self.requirements,
            labels=tuple(self.labels or ()),
            state=status.state.value,
            revision=status.revision or self._first_revision,
            hyperparameters=status.hyperparameters,
            metrics=self.metrics,
            model_uri=status.model_uri,
        )

    def _world(self) -> World:
        return self._worlds.of(self.config)

    def _records(self) -> Records:
        store = self._world().store
        if self._known is None or self._known.store != store:
            self._known = Records(store, self.id)
        return self._known

    def _status(self) -> ModelStatus:
        return fold(self._records().load())

    def _definition(self) -> Definition:
        identity = ModelIdentity(
            id=self.id,
            name=self.name,
            description=self.description,
            version=self.version,
            framework=self.framework.value,
            framework_version=self.framework_version,
            labels=tuple(self.labels or ()),
        )
        return Definition(
            identity=identity,
            main_file=self.main_file,
            image_name=self.image_name,
            base_image=self.base_image,
            extra_files=None if self.extra_files is None else tuple(self.extra_files),
            requirements=self.requirements,
        )


def _numbers(summary: MetricSummary) -> dict[str, float]:
    return {name: value for name, value in summary if value is not None}
