"""The contracts between a notebook, the pipeline, its components and the records.

Everything here travels through pipeline parameters or the store, so it is plain JSON, and no
secret is ever in it. Pipeline structs turn ints into floats, lose the order of keys and refuse
None; so values whose spelling matters are text, `Spec.dump` leaves None out, and what comes back is
validated here.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from kaptain_kfp import exceptions
from kaptain_kfp.config import TrainingApi
from kaptain_kfp.exceptions import KaptainError

__all__ = [
    "Action",
    "BuiltImage",
    "Definition",
    "ErrorSpec",
    "Event",
    "ImageSpec",
    "MetricSummary",
    "ModelIdentity",
    "ModelSpec",
    "Outcome",
    "PodSpec",
    "PolicySpec",
    "Record",
    "ResourcesSpec",
    "SourceEntry",
    "SourceSpec",
    "StoreSpec",
    "Submission",
    "Toleration",
]

Action = Literal[
    "build",
    "train",
    "tune",
    "deploy",
    "deploy-canary",
    "promote-canary",
    "rollback-canary",
    "undeploy",
    "log-data",
    "log-metrics",
]
"""What a run does to a model."""

Event = Literal["submitted", "scheduled", "outcome", "error", "closed", "retried"]
"""What a record says: a run was submitted; a schedule was made, whose id stands for the run's; a
step succeeded; a step failed; a run ended without a word from its step (killed, cancelled) and
whoever saw it first says so; a run that had ended began again."""

Text = Annotated[str, Field(min_length=1)]


class Spec(BaseModel):
    """A frozen contract that refuses fields that it doesn't know."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    def dump(self) -> dict[str, Any]:
        """Returns plain JSON without None, fit for a pipeline parameter."""
        return self.model_dump(mode="json", exclude_none=True)


class ModelIdentity(Spec):
    """Who a model is."""

    id: Text
    name: Text
    description: str
    version: Text
    framework: Text
    framework_version: Text
    labels: tuple[str, ...] = ()


class SourceEntry(Spec):
    """One file or folder of the training code, archived under its own digest.

    Attributes:
        path: Where it lies below the code folder, with forward slashes.
        digest: SHA-256 over the listing of its content (paths, modes, hashes), 64 hex digits: known
            without packing it.
        size: Bytes of its archive in the store; None while it isn't there, since it is packed when
            it is sent.
    """

    path: Text
    digest: Text
    size: int | None = None


class SourceSpec(Spec):
    """The training code: which entries, which one is run, and which lists requirements."""

    main_file: Text
    requirements: str | None = None
    entries: tuple[SourceEntry, ...]


class ImageSpec(Spec):
    """The image that is asked for.

    Attributes:
        name: Repository with tag, as it will be published.
        base_image: What it is built on.
        checksum: 32 hex digits over everything that goes in: the identity of its content.
        helpers: Digest of the training-side helpers that the checksum was taken with; None where
            nobody else puts them in.
    """

    name: Text
    base_image: Text
    checksum: Text
    helpers: Text | None = None


class BuiltImage(Spec):
    """An image that is there.

    Attributes:
        name: Repository with tag.
        reference: What workloads run: the repository with a digest.
        checksum: The checksum that it was asked for by.
        built: False where it was there already and nothing had to be done.
        base: What it is built on, by its name with the digest that this stood for; None for images
            that have no base.
    """

    name: Text
    reference: Text
    checksum: Text
    built: bool
    base: str | None = None


class StoreSpec(Spec):
    """Where model files and records lie, and the name of the Secret that opens it."""

    uri: Text
    secret_name: str | None = None


class ModelSpec(Spec):
    """The pipeline parameter `model`.

    Attributes:
        registry_secret: The Secret with which its image is pulled; None where it takes none.
    """

    identity: ModelIdentity
    source: SourceSpec
    image: ImageSpec
    store: StoreSpec
    registry_secret: str | None = None


class ResourcesSpec(Spec):
    """What each replica asks for and is limited to, as Kubernetes quantities."""

    cpu_request: str | None = None
    cpu_limit: str | None = None
    memory_request: str | None = None
    memory_limit: str | None = None
    gpu_request: str | None = None
    gpu_limit: str | None = None


class PolicySpec(Spec):
    """How long work may take, and what becomes of it afterwards.

    Attributes:
        timeout_seconds: After this long the workload is ended; default 7 days.
        ttl_seconds_after_finished: Delete the finished workload after this long; None keeps it.
        force_cleanup: Delete the finished workload at once, whatever the ttl says.
        pending_seconds: How long it may wait for what the cluster lacks (nodes, quota, a registry,
            volumes, its operator); None waits for each of them as long as is usual for it.
        training_api: Whose training jobs to make, see `Config.training_api`.
    """

    timeout_seconds: Annotated[int, Field(gt=0)] = 7 * 24 * 3600
    ttl_seconds_after_finished: Annotated[int, Field(ge=0)] | None = None
    force_cleanup: bool = False
    pending_seconds: Annotated[int, Field(ge=0)] | None = None
    training_api: TrainingApi = "auto"


class Toleration(Spec):
    """A taint of nodes that pods stand; what is None doesn't matter."""

    key: str | None = None
    operator: Literal["Exists", "Equal"] | None = None
    value: str | None = None
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"] | None = None


class PodSpec(Spec):
    """What the pods of a workload get beside resources: the pipeline parameter `pod`."""

    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    node_selector: dict[str, str] = {}
    tolerations: tuple[Toleration, ...] = ()
    shm_size: str | None = None
    service_account: str | None = None
    image_pull_secrets: tuple[str, ...] = ()


class MetricSummary(Spec):
    """One metric over a whole training: the last value recorded, the smallest and the largest.

    Not-a-number and infinite values count for `latest` only.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", ser_json_inf_nan="strings", defer_build=True
    )

    latest: float
    min: float | None = None
    max: float | None = None


class ErrorSpec(Spec):
    """A `KaptainError` on its way from a step to whoever waits for the run.

    Attributes:
        type: Name of the class in `kaptain_kfp.exceptions`.
        message: What happened.
        resource: On which object.
        reason: One CamelCase word.
        hint: What to do next.
        log_tail: The last log lines.
    """

    type: Text
    message: str
    resource: str | None = None
    reason: str | None = None
    hint: str | None = None
    log_tail: str | None = None

    @classmethod
    def of(cls, error: KaptainError) -> ErrorSpec:
        """Returns an error as plain data."""
        return cls(
            type=type(error).__name__,
            message=error.message,
            resource=error.resource,
            reason=error.reason,
            hint=error.hint,
            log_tail=error.log_tail,
        )

    def error(self, run_url: str | None = None) -> KaptainError:
        """Returns the exception that this tells of; of an unknown type: a plain `KaptainError`."""
        found = getattr(exceptions, self.type, KaptainError)
        known = isinstance(found, type) and issubclass(found, KaptainError)
        kind: type[KaptainError] = found if known else KaptainError
        return kind(
            self.message,
            resource=self.resource,
            reason=self.reason,
            hint=self.hint,
            log_tail=self.log_tail,
            run_url=run_url,
        )


class Definition(Spec):
    """The arguments of a Model, as they were given: what `Model.attach` makes it anew from."""

    identity: ModelIdentity
    main_file: Text
    image_name: Text
    base_image: Text
    extra_files: tuple[str, ...] | None = None
    requirements: str | None = None


class Submission(Spec):
    """What a run was asked to do.

    Attributes:
        definition: The model that it was asked for.
        parameters: The values as given by the caller, numbers as numbers: what
            `Model.hyperparameters` reads back after a training (a run's own parameters are text).
        url: Where the run can be looked at.
    """

    definition: Definition
    parameters: dict[str, Any] = {}
    url: str | None = None


class Outcome(Spec):
    """What a step achieved.

    Attributes:
        model_uri: Where the trained model lies.
        image: The image that did the work.
        workload: The object that did it, e.g. ``Job/mnist-job-1a2b3c4d``.
        hyperparameters: The values as the script got them, as text.
        args: The further arguments of the script, as text.
        metrics: What the script recorded.
        log_tail: The last log lines of the workload.
    """

    model_uri: str | None = None
    image: BuiltImage | None = None
    workload: str | None = None
    hyperparameters: dict[str, str] | None = None
    args: dict[str, str] | None = None
    metrics: dict[str, MetricSummary] | None = None
    log_tail: str | None = None


class Record(Spec):
    """One event in the life of a model: append-only, one object in the store each.

    Attributes:
        model_id: The model, as its id is written.
        run_id: The pipeline run.
        task: The task in it, unique within the run; "run" for what concerns the run as a whole.
        event: What happened.
        action: What the run or step was to do.
        time: When, UTC.
        follows: Keys of the records that had no successor when this one was written: they order
            the records where a clock is wrong.
        revision: The model's revision from then on; None where the event doesn't change it.
        submission: With "submitted" and "scheduled"; and with how something ended that was done
            without a run, whose id stands for no run then.
        outcome: With "outcome".
        error: With "error" and "closed".
        number: Which "error" of its task it is, or "closed" or "retried" of its run: these come
            once for each time that a step or run is executed.
    """

    model_id: Text
    run_id: Text
    task: Text
    event: Event
    action: Action
    time: datetime
    follows: tuple[str, ...] = ()
    revision: str | None = None
    submission: Submission | None = None
    outcome: Outcome | None = None
    error: ErrorSpec | None = None
    number: int = Field(default=1, ge=1)

    @property
    def key(self) -> str:
        """The name under which it is stored, unique for run, task, event and number."""
        name = f"{self.run_id}-{self.task}-{self.event}"
        return name if self.number == 1 else f"{name}-{self.number}"
