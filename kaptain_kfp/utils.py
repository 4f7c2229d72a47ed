"""What our objects do in a namespace, and their removal: for notebooks and the command line.

The functions of the Kaptain SDK print and return None; those with names of their own return the
same as data. All work on the world that the configuration chooses and see only what this package
made: the objects with its label.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from dataclasses import asdict

from kaptain_kfp.checkup.base import Check
from kaptain_kfp.cluster.base import Cluster, Manifest, ResourceRef
from kaptain_kfp.config import Config, config_or_default
from kaptain_kfp.display import Row, age_text, print_checks, print_rows
from kaptain_kfp.manifests.names import JOB_KINDS
from kaptain_kfp.model.workplace import Workplace
from kaptain_kfp.runs.leftovers import LeftOver, left_over
from kaptain_kfp.runs.listing import (
    ACCESS_KINDS,
    WORKLOAD_KINDS,
    ResourceInfo,
    WarningInfo,
    is_over,
    list_resources,
    list_warnings,
    resource_info,
    stale,
)
from kaptain_kfp.runs.removal import end_all, kind_named, models_at_work, removable, the_one

__all__ = [
    "Check",
    "ResourceInfo",
    "WarningInfo",
    "checks",
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
    "doctor",
    "experiments",
    "inference_services",
    "jobs",
    "left_over_resources",
    "list_all_resources",
    "list_experiments",
    "list_inference_services",
    "list_jobs",
    "resources",
    "stale_resources",
    "warning_events",
]

_EXPERIMENTS = ("Experiment",)
_SERVICES = ("InferenceService",)
_ALL_KINDS = (*WORKLOAD_KINDS, "Pod", *ACCESS_KINDS)


def jobs(*, config: Config | None = None, namespace: str | None = None) -> list[ResourceInfo]:
    """Returns the training jobs, by kind and name.

    Args:
        config: Where to look; by default the world that a `Model` without one uses.
        namespace: Where to look there; by default the current one.
    """
    return list_resources(_place(config, namespace).cluster, JOB_KINDS)


def experiments(
    *, config: Config | None = None, namespace: str | None = None
) -> list[ResourceInfo]:
    """Returns the Katib experiments, by name; arguments as for `jobs`."""
    return list_resources(_place(config, namespace).cluster, _EXPERIMENTS)


def inference_services(
    *, config: Config | None = None, namespace: str | None = None
) -> list[ResourceInfo]:
    """Returns the inference services, by name; arguments as for `jobs`."""
    return list_resources(_place(config, namespace).cluster, _SERVICES)


def resources(*, config: Config | None = None, namespace: str | None = None) -> list[ResourceInfo]:
    """Returns everything, Pods, Secrets and ServiceAccounts included; arguments as for `jobs`."""
    return _all_resources(_place(config, namespace))


def stale_resources(
    *, config: Config | None = None, namespace: str | None = None
) -> list[ResourceInfo]:
    """Returns the Secrets and ServiceAccounts that no workload uses; arguments as for `jobs`.

    What belongs to a model with a run that isn't over, or with a schedule, counts as used.
    """
    place = _place(config, namespace)
    return _unused(place.cluster, _stale(place))


def left_over_resources(
    *, config: Config | None = None, namespace: str | None = None
) -> list[ResourceInfo]:
    """Returns the jobs and experiments that go on though their run is over.

    That is what a cancel in the user interface of Kubeflow leaves: it ends the steps, not what they
    started. Arguments as for `jobs`.
    """
    place = _place(config, namespace)
    left = left_over(place.cluster, place.runner)
    return [one.info(place.cluster.now()) for one in left]


def warning_events(
    *, config: Config | None = None, namespace: str | None = None
) -> list[WarningInfo]:
    """Returns the warnings about workloads and their pods; arguments as for `jobs`."""
    return list_warnings(_place(config, namespace).cluster, (*WORKLOAD_KINDS, "Pod"))


def doctor(*, config: Config | None = None) -> None:
    """Prints whether this machine, and the Kubeflow that is configured, are fit for work.

    See `checks`.

    Args:
        config: What to check; by default the world that a `Model` without one uses.
    """
    print_checks(checks(config=config))


def checks(*, config: Config | None = None) -> list[Check]:
    """Returns what there is to say about this machine and the Kubeflow that is configured.

    Python and packages, the home, the cluster and what is installed in it, rights, Kubeflow
    Pipelines, storage and registry, and what is left over. Each is waited for 15 seconds at most.

    Args:
        config: What to check; by default the world that a `Model` without one uses.
    """
    from kaptain_kfp.checkup import doctor

    return doctor.checks_here() if config is None else doctor.checks(config)


def diagnose(*, config: Config | None = None, namespace: str | None = None) -> None:
    """Prints all objects of ours in the namespace, and the warnings about them.

    TFJobs, PyTorchJobs, TrainJobs, Jobs, Experiments, InferenceServices, Pods, Secrets and
    ServiceAccounts.

    Args:
        config: Where to look; by default the world that a `Model` without one uses.
        namespace: Where to look there; by default the current one.
    """
    place = _place(config, namespace)
    target, cluster = place.target, place.cluster
    print(f"Target {target.name} ({target.reason}), namespace {cluster.namespace!r}\n")
    _print(cluster, _all_resources(place), "resources")
    rows = [
        {**asdict(warning), "count": str(warning.count), "age": age_text(warning.age)}
        for warning in list_warnings(cluster, (*WORKLOAD_KINDS, "Pod"))
    ]
    print()
    print_rows(rows, title="Warnings", empty="No warnings.")


def list_jobs(*, config: Config | None = None, namespace: str | None = None) -> None:
    """Prints the training jobs; arguments as for `diagnose`."""
    _print_kinds(_place(config, namespace).cluster, JOB_KINDS, "training jobs")


def list_experiments(*, config: Config | None = None, namespace: str | None = None) -> None:
    """Prints the Katib experiments; arguments as for `diagnose`."""
    _print_kinds(_place(config, namespace).cluster, _EXPERIMENTS, "experiments")


def list_inference_services(*, config: Config | None = None, namespace: str | None = None) -> None:
    """Prints the inference services; arguments as for `diagnose`."""
    _print_kinds(_place(config, namespace).cluster, _SERVICES, "inference services")


def list_all_resources(*, config: Config | None = None, namespace: str | None = None) -> None:
    """Prints the training jobs, experiments and inference services; arguments as for `diagnose`."""
    _print_kinds(_place(config, namespace).cluster, WORKLOAD_KINDS, "workloads")


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
    kinds = JOB_KINDS if kind is None else (kind_named(kind, JOB_KINDS),)
    _delete_one(_place(config, namespace).cluster, kinds, name)


def delete_experiment(
    name: str, *, config: Config | None = None, namespace: str | None = None
) -> None:
    """Deletes a Katib experiment with its trials; arguments and errors as for `delete_job`."""
    _delete_one(_place(config, namespace).cluster, _EXPERIMENTS, name)


def delete_inference_service(
    name: str, *, config: Config | None = None, namespace: str | None = None
) -> None:
    """Deletes an inference service; arguments and errors as for `delete_job`."""
    _delete_one(_place(config, namespace).cluster, _SERVICES, name)


def delete_resource(
    kind: str, name: str, *, config: Config | None = None, namespace: str | None = None
) -> None:
    """Deletes a training job, an experiment or an inference service.

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
    _delete_one(_place(config, namespace).cluster, (kind_named(kind, WORKLOAD_KINDS),), name)


def delete_jobs(
    force: bool = False, *, config: Config | None = None, namespace: str | None = None
) -> None:
    """Deletes all completed training jobs; those of an experiment go with it only.

    Args:
        force: Delete those that run, too.
        config: Where to look; by default the world that a `Model` without one uses.
        namespace: Where to look there; by default the current one.
    """
    _delete_all(_place(config, namespace).cluster, JOB_KINDS, force, "training jobs")


def delete_experiments(
    force: bool = False, *, config: Config | None = None, namespace: str | None = None
) -> None:
    """Deletes all completed experiments, with `force` those that run, too; see `delete_jobs`."""
    _delete_all(_place(config, namespace).cluster, _EXPERIMENTS, force, "experiments")


def delete_inference_services(
    force: bool = False, *, config: Config | None = None, namespace: str | None = None
) -> None:
    """Deletes all inference services that are not ready, with `force` all; see `delete_jobs`."""
    _delete_all(_place(config, namespace).cluster, _SERVICES, force, "inference services")


def clean(
    force: bool = False, *, config: Config | None = None, namespace: str | None = None
) -> None:
    """Finds what nobody needs: Secrets and ServiceAccounts, and work whose run is over.

    See `stale_resources` and `left_over_resources`.

    Args:
        force: Delete them; without it they are only printed.
        config: Where to look; by default the world that a `Model` without one uses.
        namespace: Where to look there; by default the current one.
    """
    place = _place(config, namespace)
    left = left_over(place.cluster, place.runner)
    unused = _stale(place, frozenset(one.workload["metadata"]["uid"] for one in left))
    if not force:
        _print_left_over(place.cluster, left)
    if not force or not (left or unused):
        _print_stale(place.cluster, unused)
        return
    for found in (*(one.workload for one in left), *unused):
        _delete(place.cluster, found)


def clean_all(
    force: bool = False, *, config: Config | None = None, namespace: str | None = None
) -> None:
    """Deletes what is over, and finds what is left unused.

    Completed jobs and experiments and services that are not ready are deleted; work whose run is
    over, and Secrets and ServiceAccounts that nothing uses then are only printed. Models, their
    records and the list of their runs stay.

    Args:
        force: Delete all schedules, cancel all runs, and delete everything, what runs and what is
            used, too.
        config: Where to look; by default the world that a `Model` without one uses.
        namespace: Where to look there; by default the current one.
    """
    place = _place(config, namespace)
    if not force:
        gone = _delete_all(place.cluster, WORKLOAD_KINDS, False, "workloads")
        _print_left_over(place.cluster, left_over(place.cluster, place.runner))
        _print_stale(place.cluster, _stale(place, gone))
        return
    for done in end_all(place.runner):  # first, since their next steps would make new workloads
        print(done)
    _delete_all(place.cluster, _ALL_KINDS, True, "resources")


def _place(config: Config | None, namespace: str | None) -> Workplace:
    return Workplace(config_or_default(config), namespace)


def _stale(place: Workplace, gone: Set[str] = frozenset()) -> list[Manifest]:
    return stale(place.cluster, models_at_work(place.runner), gone)


def _all_resources(place: Workplace) -> list[ResourceInfo]:
    return list_resources(place.cluster, _ALL_KINDS, _stale(place))


def _delete_one(cluster: Cluster, kinds: Sequence[str], name: str) -> None:
    _delete(cluster, the_one(cluster, kinds, name))


def _delete_all(cluster: Cluster, kinds: Sequence[str], force: bool, what: str) -> frozenset[str]:
    """Deletes those that are over, or all; returns the uids of the deleted ones."""
    whole = removable(cluster, kinds)
    doomed = [found for found in whole if force or is_over(found)]
    for found in doomed:
        _delete(cluster, found)
    if not whole:
        print(f"There are no {what} to delete in the namespace {cluster.namespace!r}.")
    elif len(doomed) < len(whole):
        print(f"Left as they are: {len(whole) - len(doomed)}; force=True deletes them, too.")
    return frozenset(found["metadata"]["uid"] for found in doomed)


def _delete(cluster: Cluster, found: Manifest) -> None:
    ref = ResourceRef.of(found)
    cluster.delete(ref)
    print(f"Deleted {ref}.")


def _print_kinds(cluster: Cluster, kinds: Sequence[str], what: str) -> None:
    _print(cluster, list_resources(cluster, kinds), what)


def _print(cluster: Cluster, found: Sequence[ResourceInfo], what: str) -> None:
    empty = f"There are no {what} of this package in the namespace {cluster.namespace!r}."
    print_rows(_rows(found), empty=empty)


def _print_left_over(cluster: Cluster, left: Sequence[LeftOver]) -> None:
    print_rows(
        _rows([one.info(cluster.now()) for one in left]),
        title="Goes on though its run is over; clean(force=True) deletes it:",
    )


def _print_stale(cluster: Cluster, unused: Sequence[Manifest]) -> None:
    print_rows(
        _rows(_unused(cluster, unused)),
        title="Not used by any workload; clean(force=True) deletes them:",
        empty="All Secrets and ServiceAccounts of this package are in use.",
    )


def _unused(cluster: Cluster, found: Sequence[Manifest]) -> list[ResourceInfo]:
    return [resource_info(manifest, cluster.now(), unused=True) for manifest in found]


def _rows(found: Sequence[ResourceInfo]) -> list[Row]:
    return [{**asdict(info), "age": age_text(info.age)} for info in found]
