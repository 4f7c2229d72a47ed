"""Every error that this package raises on purpose.

KaptainError
├── InvalidModelProperty             a model property is None or blank
│   └── UndefinedModelProperty       a model property is not defined, that is: None
├── UnsupportedAlgorithmException    no such tuning algorithm
├── UnsupportedMetricsTypeException  no such metrics type
├── UnsupportedModelFrameworkException
├── UnsupportedModelDeploymentException
├── ModelDeploymentException
├── ModelValidationException         bad input, or a model in the wrong state
├── ModelAlreadyExistsException
├── ConfigurationError               a configuration file, variable or argument can't be used
├── ImageBuildException              the image could not be built
│   └── RegistryError                an image registry refused or failed a request
│       ├── RegistryAuthError        it doesn't accept the credentials, or they don't allow it
│       ├── RegistryUnavailableError it can't be reached, or broke off again and again
│       └── ImageNotFoundError       it has no such image, or none for that platform
├── WorkloadDeploymentError          the work could not be created or begun
│   ├── WorkloadUnschedulableError   no node takes its pods
│   ├── ImagePullError               an image can't be had
│   ├── ContainerConfigurationError  what a container refers to, or is to run, isn't there
│   ├── VolumeMountError             a volume can't be attached or mounted
│   ├── InitContainerError           a container that runs before the script failed
│   ├── QuotaExceededError           the quota of the namespace leaves no room
│   ├── PodSecurityError             the namespace allows no such pods
│   ├── PodsRefusedError             a webhook or another rule of the cluster refuses the pods
│   └── OperatorMissingError         what should look after the work isn't there, or doesn't run
├── WorkloadFailedError              the work began and did not succeed
│   ├── ScriptFailedError            the training script ended with an exit code other than 0
│   ├── WorkloadKilledError          a signal ended it
│   │   └── WorkloadOutOfMemoryError it used more memory than its limit
│   ├── WorkloadTimeoutError         it ran longer than its timeout
│   ├── SidecarError                 the script is done, but another container keeps its pod
│   └── WorkloadLostError            it vanished: deleted by someone, or its machine restarted
│       ├── WorkloadEvictedError     its node was short of memory, disk or processes
│       └── WorkloadDisruptedError   its node failed, was drained, or made room for other pods
├── RunError
│   ├── RunFailedError               a pipeline run failed, and no step left a better error
│   ├── RunCancelledError            a pipeline run was cancelled
│   ├── RunTimeoutError              waiting for a run took longer than asked
│   ├── RunNotFoundError             there is no such run
│   ├── ScheduleNotFoundError        there is no such schedule
│   └── RunnerUnavailableError       what runs pipelines can't be reached
├── StoreError                       model files or records can't be read or written
│   └── StoreNotFoundError           nothing is stored under that key
└── ClusterError                     the cluster refused or failed a request
    ├── ObjectNotFoundError
    ├── ObjectExistsError
    ├── ObjectConflictError          the object changed since it was read
    ├── ObjectInvalidError           the object breaks a rule of its kind
    ├── ForeignObjectError           the name is taken by an object that isn't ours
    ├── AccessDeniedError            the credentials don't allow it, or nobody knows them
    ├── AdmissionDeniedError         a quota, Pod Security or a webhook refuses the object
    ├── NotInstalledError            the cluster doesn't know this kind: its operator is missing
    ├── ResourceExpiredError         the asked-for resourceVersion is too old
    └── ClusterUnavailableError      the cluster can't be reached
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = [
    "AccessDeniedError",
    "AdmissionDeniedError",
    "ClusterError",
    "ClusterUnavailableError",
    "ConfigurationError",
    "ContainerConfigurationError",
    "ForeignObjectError",
    "ImageBuildException",
    "ImageNotFoundError",
    "ImagePullError",
    "InitContainerError",
    "InvalidModelProperty",
    "KaptainError",
    "ModelAlreadyExistsException",
    "ModelDeploymentException",
    "ModelValidationException",
    "NotInstalledError",
    "ObjectConflictError",
    "ObjectExistsError",
    "ObjectInvalidError",
    "ObjectNotFoundError",
    "OperatorMissingError",
    "PodSecurityError",
    "PodsRefusedError",
    "QuotaExceededError",
    "RegistryAuthError",
    "RegistryError",
    "RegistryUnavailableError",
    "ResourceExpiredError",
    "RunCancelledError",
    "RunError",
    "RunFailedError",
    "RunNotFoundError",
    "RunTimeoutError",
    "RunnerUnavailableError",
    "ScheduleNotFoundError",
    "ScriptFailedError",
    "SidecarError",
    "StoreError",
    "StoreNotFoundError",
    "UndefinedModelProperty",
    "UnsupportedAlgorithmException",
    "UnsupportedMetricsTypeException",
    "UnsupportedModelDeploymentException",
    "UnsupportedModelFrameworkException",
    "VolumeMountError",
    "WorkloadDeploymentError",
    "WorkloadDisruptedError",
    "WorkloadEvictedError",
    "WorkloadFailedError",
    "WorkloadKilledError",
    "WorkloadLostError",
    "WorkloadOutOfMemoryError",
    "WorkloadTimeoutError",
    "WorkloadUnschedulableError",
]


class KaptainError(Exception):
    """The root of all errors raised on purpose by this package.

    Args:
        message: What happened, in one or two sentences.
        resource: The object that it happened on, e.g. ``Job/mnist-job-1a2b3c4d``.
        reason: One CamelCase word for programs, as Kubernetes uses it, e.g. ``OOMKilled``.
        hint: What to do next.
        log_tail: The last lines of the log that shows the trouble.
        run_url: Where the pipeline run can be looked at.

    ``str(error)`` is the message, then the hint, then the log lines, each on lines of its own.
    """

    def __init__(
        self,
        message: str = "",
        *,
        resource: str | None = None,
        reason: str | None = None,
        hint: str | None = None,
        log_tail: str | None = None,
        run_url: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.resource = resource
        self.reason = reason
        self.hint = hint
        self.log_tail = log_tail
        self.run_url = run_url

    def __str__(self) -> str:
        lines = [self.message]
        if self.hint:
            lines.append(self.hint)
        if self.run_url:
            lines.append(f"Run: {self.run_url}")
        if self.log_tail:
            lines.append("Last log lines:")
            lines.extend(f"  | {line}" for line in self.log_tail.splitlines())
        return "\n".join(lines)


class InvalidModelProperty(KaptainError):
    """Raised when a model property is None or blank."""


class UndefinedModelProperty(InvalidModelProperty):
    """Raised when a model property is not defined, that is: None."""


class UnsupportedAlgorithmException(KaptainError):
    """Raised when a hyperparameter tuning algorithm is not supported."""


class UnsupportedModelDeploymentException(KaptainError):
    """Raised when a model deployment is not supported."""


class UnsupportedModelFrameworkException(KaptainError):
    """Raised when a model framework is not supported."""


class UnsupportedMetricsTypeException(KaptainError):
    """Raised when a metric type is not supported."""


class ModelDeploymentException(KaptainError):
    """Raised in case of a model deployment failure."""


class ModelValidationException(KaptainError):
    """Raised when properties are missing or wrong, or the model's state doesn't fit the action."""


class ModelAlreadyExistsException(KaptainError):
    """Raised when a saved model would be overwritten."""


class ConfigurationError(KaptainError):
    """Raised when a configuration file, environment variable or argument can't be used."""


class ImageBuildException(KaptainError):
    """Raised in case of an image build failure."""


class RegistryError(ImageBuildException):
    """Raised when an image registry refused or failed a request."""


class RegistryAuthError(RegistryError):
    """Raised when a registry doesn't accept the credentials, or they don't allow the request."""


class RegistryUnavailableError(RegistryError):
    """Raised when a registry can't be reached, or broke off again and again."""


class ImageNotFoundError(RegistryError):
    """Raised when a registry has no such image, or none for the platform that is asked for."""


class WorkloadDeploymentError(KaptainError):
    """Raised in case of a workload deployment failure, e.g. failed scheduling."""


class WorkloadUnschedulableError(WorkloadDeploymentError):
    """Raised when no node of the cluster takes the pods of the work."""


class ImagePullError(WorkloadDeploymentError):
    """Raised when an image can't be had: it isn't there, isn't allowed, or fits no node."""


class ContainerConfigurationError(WorkloadDeploymentError):
    """Raised when what a container refers to, or the program that it is to run, isn't there."""


class VolumeMountError(WorkloadDeploymentError):
    """Raised when a volume can't be attached or mounted."""


class InitContainerError(WorkloadDeploymentError):
    """Raised when a container that runs before the training script failed."""


class QuotaExceededError(WorkloadDeploymentError):
    """Raised when the quota of the namespace leaves no room for the pods of the work."""


class PodSecurityError(WorkloadDeploymentError):
    """Raised when the Pod Security of the namespace refuses the pods of the work."""


class PodsRefusedError(WorkloadDeploymentError):
    """Raised when a webhook or another rule of the cluster refuses the pods of the work."""


class OperatorMissingError(WorkloadDeploymentError):
    """Raised when what should look after the work isn't installed, is too old, or doesn't run."""


class WorkloadFailedError(KaptainError):
    """Raised when work began and did not succeed."""


class ScriptFailedError(WorkloadFailedError):
    """Raised when the training script ended with an exit code other than 0."""


class WorkloadKilledError(WorkloadFailedError):
    """Raised when a signal ended the training script."""


class WorkloadOutOfMemoryError(WorkloadKilledError):
    """Raised when the training script was killed because it used more memory than its limit."""


class WorkloadTimeoutError(WorkloadFailedError):
    """Raised when the work ran longer than its timeout and was ended."""


class SidecarError(WorkloadFailedError):
    """Raised when the training script is done, but another container keeps its pod from ending."""


class WorkloadLostError(WorkloadFailedError):
    """Raised when the work vanished: someone deleted it, or its machine restarted."""


class WorkloadEvictedError(WorkloadLostError):
    """Raised when a pod was evicted because its node was short of memory, disk or processes."""


class WorkloadDisruptedError(WorkloadLostError):
    """Raised when a pod's node failed, was drained, or made room for pods that matter more."""


class RunError(KaptainError):
    """Raised when a pipeline run can't be submitted, followed or finished."""


class RunFailedError(RunError):
    """Raised when a pipeline run failed and no step left a better error."""


class RunCancelledError(RunError):
    """Raised when a pipeline run was cancelled."""


class RunTimeoutError(RunError):
    """Raised when waiting for a pipeline run took longer than asked; the run goes on."""


class RunNotFoundError(RunError):
    """Raised when there is no such pipeline run."""


class ScheduleNotFoundError(RunError):
    """Raised when there is no such schedule."""


class RunnerUnavailableError(RunError):
    """Raised when what runs pipelines can't be reached, or is out of order; runs go on."""


class StoreError(KaptainError):
    """Raised when model files or records can't be read or written."""


class StoreNotFoundError(StoreError):
    """Raised when nothing is stored under a key."""


class ClusterError(KaptainError):
    """Raised when the cluster refused or failed a request.

    Args:
        message: As for every `KaptainError`.
        code: The HTTP status that an API server answers with, e.g. 404.
        details: Its structured details: `name`, `kind`, `causes`.
        **facts: As for every `KaptainError`.
    """

    def __init__(
        self,
        message: str = "",
        *,
        code: int | None = None,
        details: Mapping[str, Any] | None = None,
        **facts: str | None,
    ) -> None:
        super().__init__(message, **facts)
        self.code = code
        self.details = dict(details or {})


class ObjectNotFoundError(ClusterError):
    """Raised when there is no such object."""


class ObjectExistsError(ClusterError):
    """Raised when an object of that name is there already."""


class ObjectConflictError(ClusterError):
    """Raised when the object changed since it was read."""


class ObjectInvalidError(ClusterError):
    """Raised when an object or a request breaks a rule of its kind."""


class ForeignObjectError(ClusterError):
    """Raised when a name is taken by an object that this package didn't make for that model."""


class AccessDeniedError(ClusterError):
    """Raised when the credentials don't allow a request, or the cluster doesn't accept them."""


class AdmissionDeniedError(ClusterError):
    """Raised when a quota, Pod Security or an admission webhook refuses an object."""


class NotInstalledError(ClusterError):
    """Raised when the cluster doesn't know a kind of objects: its operator isn't installed."""


class ResourceExpiredError(ClusterError):
    """Raised when the resourceVersion that was asked for is too old to start from."""


class ClusterUnavailableError(ClusterError):
    """Raised when the cluster can't be reached."""
