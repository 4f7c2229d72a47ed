"""What our objects do in a namespace, and their removal: for notebooks and the command line.

The functions of the Kaptain SDK print and return None; those with names of their own return the
same as data. All work on the world that the configuration chooses and see only what this package
made: the objects with its label.
"""

from __future__ import annotations

__all__ = [
    "ResourceInfo",
    "WarningInfo",
    "clean",
    "clean_all",
    "delete_experiment",
    "delete_experiments",
    "delete_inference_service",
    "delete_inference_services",
    "delete_job",
    "delete_jobs",
    "delete_resource",
    "diagnose",
    "experiments",
    "inference_services",
    "jobs",
    "list_all_resources",
    "list_experiments",
    "list_inference_services",
    "list_jobs",
    "resources",
    "stale_resources",
    "warning_events",
]

_JOBS = ("TFJob", "PyTorchJob", "TrainJob", "Job")
_WORKLOADS = (*_JOBS, "Experiment", "InferenceService")
_ACCESS = ("Secret", "ServiceAccount")
_MARK = {LABEL_MANAGED_BY: MANAGED_BY}


@dataclass(frozen=True)
class ResourceInfo:
    """One object that this package made.

    Attributes:
        kind: E.g. ``Job``.
        name: What it is called.
        state: One word: of jobs and experiments ``Pending``, ``Created``, ``Running``,
            ``Restarting``, ``Suspended``, ``Succeeded`` or ``Failed``; of services ``Ready`` or
            ``NotReady``; of pods their phase; of Secrets and ServiceAccounts ``InUse`` or
            ``Unused``; of all that are being deleted ``Terminating``.
        model: The model that it stands for.
        age: How long ago it was made.
        message: What it has to say about its state; often nothing.
    """

    kind: str
    name: str
    state: str
    model: str
    age: timedelta
    message: str = ""


@dataclass(frozen=True)
class WarningInfo:
    """A warning that the cluster gave about an object of ours.

    Attributes:
        resource: E.g. ``Job/mnist-job-1a2b3c4d``.
        reason: One CamelCase word.
        message: What happened.
        count: How often.
        age: How long ago it happened last.
    """

    resource: str
    reason: str
    message: str
    count: int
    age: timedelta


def jobs(*, config: Config | None = None, namespace: str | None = None) -> list[ResourceInfo]:
    """Returns the training jobs, by kind and name.

    Args:
        config: Where to look; by default the world that a `Model` without one uses.
        namespace: Where to look there; by default the current one.
    """
    return _infos(_world(config, namespace).cluster, _JOBS)


def experiments(
    *, config: Config | None = None, namespace: str | None = None
) -> list[ResourceInfo]:
    """Returns the Katib experiments, by name; arguments as for `jobs`."""
    return _infos(_world(config, namespace).cluster, ("Experiment",))


def inference_services(
    *, config: Config | None = None, namespace: str | None = None
) -> list[ResourceInfo]:
    """Returns the inference services, by name; arguments as for `jobs`."""
    return _infos(_world(config, namespace).cluster, ("InferenceService",))


def resources(*, config: Config | None = None, namespace: str | None = None) -> list[ResourceInfo]:
    """Returns all objects, pods, Secrets and ServiceAccounts among them; arguments as for `jobs`."""
    return _infos(_world(config, namespace).cluster, (*_WORKLOADS, "Pod", *_ACCESS))


def stale_resources(
    *, config: Config | None = None, namespace: str | None = None
) -> list[ResourceInfo]:
    """Returns the Secrets and ServiceAccounts that no workload uses; arguments as for `jobs`.

    What belongs to a model with a run that isn't over counts as used.
    """
    return [_info(found, True) for found in _stale(_world(config, namespace).cluster)]


def warning_events(
    *, config: Config | None = None, namespace: str | None = None
) -> list[WarningInfo]:
    """Returns the warnings about workloads and their pods; arguments as for `jobs`."""
    cluster = _world(config, namespace).cluster
    now = datetime.now(timezone.utc)
    return [
        WarningInfo(str(ref), event.reason, event.message, event.count, now - event.last_seen)
        for ref in map(ResourceRef.of, _ours(cluster, (*_WORKLOADS, "Pod")))
        for event in cluster.events(ref)
        if event.warning
    ]


def diagnose(*, config: Config | None = None, namespace: str | None = None) -> None:
    """Prints all objects of ours in the namespace, and the warnings about them.

    TFJobs, PyTorchJobs, TrainJobs, Jobs, Experiments, InferenceServices, Pods, Secrets and
    ServiceAccounts.

    Args:
        config: Where to look; by default the world that a `Model` without one uses.
        namespace: Where to look there; by default the current one.
    """
    kinds = (*_WORKLOADS, "Pod", *_ACCESS)
    _print(_world(config, namespace).cluster, kinds, "resources")
    rows = [
        {
            "resource": warning.resource,
            "reason": warning.reason,
            "count": str(warning.count),
            "age": age_text(warning.age),
            "message": warning.message,
        }
        for warning in warning_events(config=config, namespace=namespace)
    ]
    print_rows(rows, title="\nWarnings", empty="No warnings.")


def list_jobs(*, config: Config | None = None, namespace: str | None = None) -> None:
    """Prints the training jobs; arguments as for `diagnose`."""
    _print(_world(config, namespace).cluster, _JOBS, "training jobs")


def list_experiments(*, config: Config | None = None, namespace: str | None = None) -> None:
    """Prints the Katib experiments; arguments as for `diagnose`."""
    _print(_world(config, namespace).cluster, ("Experiment",), "experiments")


def list_inference_services(*, config: Config | None = None, namespace: str | None = None) -> None:
    """Prints the inference services; arguments as for `diagnose`."""
    _print(_world(config, namespace).cluster, ("InferenceService",), "inference services")


def list_all_resources(*, config: Config | None = None, namespace: str | None = None) -> None:
    """Prints all training jobs, experiments and inference services; arguments as for `diagnose`."""
    _print(_world(config, namespace).cluster, _WORKLOADS, "workloads")


def delete_job(
    name: str,
    kind: str | None = None,
    *,
    config: Config | None = None,
    namespace: str | None = None,
) -> None:
    """Deletes a training job, its pods with it.

    Args:
        name: Its name.
        kind: ``tfjob``, ``pytorchjob``, ``trainjob`` or ``job``, in any case; by default whichever
            there is.
        config: Where to look; by default the world that a `Model` without one uses.
        namespace: Where to look there; by default the current one.

    Raises:
        ModelValidationException: There is no such kind, or jobs of several kinds have that name.
        ObjectNotFoundError: There is no such job.
        ForeignObjectError: This package didn't make it.
    """
    kinds = _JOBS if kind is None else (_kind(kind, _JOBS),)
    _delete_one(_world(config, namespace).cluster, kinds, name)


def delete_experiment(
    name: str, *, config: Config | None = None, namespace: str | None = None
) -> None:
    """Deletes a Katib experiment with its trials; arguments and errors as for `delete_job`."""
    _delete_one(_world(config, namespace).cluster, ("Experiment",), name)


def delete_inference_service(
    name: str, *, config: Config | None = None, namespace: str | None = None
) -> None:
    """Deletes an inference service; arguments and errors as for `delete_job`."""
    _delete_one(_world(config, namespace).cluster, ("InferenceService",), name)


def delete_resource(
    kind: str, name: str, *, config: Config | None = None, namespace: str | None = None
) -> None:
    """Deletes a job, an experiment or an inference service.

    Args:
        kind: ``tfjob``, ``pytorchjob``, ``trainjob``, ``job``, ``experiment`` or
            ``inferenceservice``, in any case.
        name: Its name.
        config: As for `delete_job`.
        namespace: As for `delete_job`.

    Raises:
        ModelValidationException: There is no such kind.
        ObjectNotFoundError: There is no such object.
        ForeignObjectError: This package didn't make it.
    """
    _delete_one(_world(config, namespace).cluster, (_kind(kind, _WORKLOADS),), name)


def delete_jobs(
    force: bool = False, *, config: Config | None = None, namespace: str | None = None
) -> None:
    """Deletes all completed training jobs; those of an experiment only go with it.

    Args:
        force: Delete those that run, too.
        config: Where to look; by default the world that a `Model` without one uses.
        namespace: Where to look there; by default the current one.
    """
    _delete_all(_world(config, namespace).cluster, _JOBS, force, "completed training jobs")


def delete_experiments(
    force: bool = False, *, config: Config | None = None, namespace: str | None = None
) -> None:
    """Deletes all completed experiments, with `force` those that run, too; see `delete_jobs`."""
    cluster = _world(config, namespace).cluster
    _delete_all(cluster, ("Experiment",), force, "completed experiments")


def delete_inference_services(
    force: bool = False, *, config: Config | None = None, namespace: str | None = None
) -> None:
    """Deletes all inference services that are not ready, with `force` all; see `delete_jobs`."""
    cluster = _world(config, namespace).cluster
    _delete_all(cluster, ("InferenceService",), force, "inference services that are not ready")


def clean(
    force: bool = False, *, config: Config | None = None, namespace: str | None = None
) -> None:
    """Finds the Secrets and ServiceAccounts that no workload uses, see `stale_resources`.

    Args:
        force: Delete them; without it they are only printed.
        config: Where to look; by default the world that a `Model` without one uses.
        namespace: Where to look there; by default the current one.
    """
    cluster = _world(config, namespace).cluster
    stale = _stale(cluster)
    if force:
        for found in stale:
            _delete(cluster, found)
    if not (force and stale):
        _print_stale(stale)


def clean_all(
    force: bool = False, *, config: Config | None = None, namespace: str | None = None
) -> None:
    """Deletes what is over, and finds what is left unused.

    Completed jobs and experiments and services that are not ready are deleted; Secrets and
    ServiceAccounts that nothing uses then are only printed. Models, their records and the list of
    their runs stay.

    Args:
        force: Cancel all runs and delete everything, what runs and what is used, too.
        config: Where to look; by default the world that a `Model` without one uses.
        namespace: Where to look there; by default the current one.
    """
    world = _world(config, namespace)
    if not force:
        gone = _delete_all(world.cluster, _WORKLOADS, False, "completed workloads")
        _print_stale(_stale(world.cluster, gone))
        return
    for run in list_runs(world.cluster):
        # first, since its next step would make new workloads
        if not run.state.finished:
            world.runner.get(run.id).cancel()
            print(f"Cancelled run {run.id}.")
    _delete_all(world.cluster, (*_WORKLOADS, "Pod", *_ACCESS), True, "resources")


def _world(config: Config | None, namespace: str | None) -> World:
    config = config_or_default(config)
    world = world_of(config)
    if namespace is None:
        return world
    cluster = LocalCluster(config.home, namespace)
    return replace(world, cluster=cluster, runner=LocalRunner(cluster, world.store))


def _kind(word: str, known: Sequence[str]) -> str:
    for kind in known:
        if str(word).strip().lower() == kind.lower():
            return kind
    raise ModelValidationException(
        f"kind={word!r} is unknown here.", hint=f"Use one of {', '.join(known).lower()}."
    )


def _is_ours(found: Manifest) -> bool:
    return (found["metadata"].get("labels") or {}).get(LABEL_MANAGED_BY) == MANAGED_BY


def _ours(cluster: Cluster, kinds: Sequence[str]) -> Iterator[Manifest]:
    for kind in kinds:
        yield from cluster.list(kind, _MARK)


def _delete_one(cluster: Cluster, kinds: Sequence[str], name: str) -> None:
    found = []
    for kind in kinds:
        with suppress(ObjectNotFoundError):
            ref = ResourceRef(kind_of(kind).api_version, kind, cluster.namespace, name)
            found.append(cluster.get(ref))
    ours = [manifest for manifest in found if _is_ours(manifest)]
    if len(ours) > 1:
        several = " and ".join(manifest["kind"] for manifest in ours)
        raise ModelValidationException(
            f"name={name!r} is the name of several jobs: {several}.",
            hint=f"Say which, e.g. kind={ours[0]['kind'].lower()!r}.",
        )
    if ours:
        _delete(cluster, ours[0])
        return
    what = kinds[0] if len(kinds) == 1 else "job"
    if found:
        resource = str(ResourceRef.of(found[0]))
        raise ForeignObjectError(
            f"{resource} was not made by this package; it is left as it is.",
            resource=resource,
            reason="NotManaged",
            hint="Delete it with whatever made it.",
        )
    names = ", ".join(str(manifest["metadata"]["name"]) for manifest in _ours(cluster, kinds))
    raise ObjectNotFoundError(
        f"There is no {what} {name!r} in the namespace {cluster.namespace!r}.",
        resource=f"{what}/{name}",
        reason="NotFound",
        hint=f"There are: {names}." if names else "There is none at all.",
    )


def _delete_all(cluster: Cluster, kinds: Sequence[str], force: bool, what: str) -> frozenset[str]:
    """Deletes those that are over, or all; returns the uids of those deleted."""
    ours = [found for found in _ours(cluster, kinds) if not _goes_by_itself(found)]
    doomed = [found for found in ours if force or _is_over(found)]
    for found in doomed:
        _delete(cluster, found)
    if not doomed:
        print(f"No {what.removeprefix('completed ') if force else what} ...")
    return frozenset(found["metadata"]["uid"] for found in doomed)
