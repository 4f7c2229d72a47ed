"""The controller of pipeline runs: one pod at a time that executes the compiled pipeline.

The executor says by its exit code how the pipeline ended. An executor that was killed, or whose
machine restarted, has said nothing: another one takes the run up again, and its steps find the work
that they had begun by its name. A run that is to be cancelled loses its executor and all workloads
that carry its id; one that failed loses those that still run. With ``spec.keepWorkloads`` these are
left alone, as a Kubeflow leaves them.

A run that is over begins again when ``spec.retries`` is raised: with executors of its own, that
find what the earlier ones left in the run's folder.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from datetime import datetime
from typing import Any

from kaptain_kfp.manifests.names import LABEL_PIPELINE_RUN, LABEL_RUN, RUN_KINDS

from . import EventNote, Manifest, Plan, Ref, controller_reference, time_text

__all__ = [
    "CONTROLLER",
    "FINAL_STATES",
    "RETRY_LABEL",
    "RunController",
]

RETRY_LABEL = "kaptain-kfp/retry"
"""On executors of a run that began again: which time it was."""
FINAL_STATES = ("SUCCEEDED", "FAILED", "CANCELED")

_ATTEMPTS = 5
"""How many executors a run may lose before it is given up."""


class RunController:
    """Executes pipeline runs on this machine."""

    kind = "Run"
    component = "run-controller"

    def related(self, manifest: Manifest) -> Mapping[str, str]:
        """A Run sees the workloads that its steps made, and their pods."""
        selector = f"{LABEL_RUN}={manifest['metadata']['name']}"
        return dict.fromkeys((*RUN_KINDS, "Pod"), selector)

    def finished(self, manifest: Manifest) -> bool:
        """A Run is over in one of its final states, unless it is to begin again."""
        over = (manifest.get("status") or {}).get("state") in FINAL_STATES
        return over and _begun(manifest) >= _retries(manifest)

    def reconcile(self, manifest: Manifest, children: Sequence[Manifest], now: datetime) -> Plan:
        """Plans one Run."""
        if "deletionTimestamp" in manifest["metadata"] or self.finished(manifest):
            return Plan()
        executors = [child for child in children if _executes(child, manifest)]
        workloads = [child for child in children if not _is_executor(child)]
        if manifest["spec"].get("keepWorkloads"):
            workloads = []
        if manifest["spec"].get("terminate"):
            return _cancelled(manifest, executors, workloads, now)
        return _executing(manifest, executors, workloads, now)


CONTROLLER = RunController()


def _executing(
    run: Manifest, executors: Sequence[Manifest], workloads: Sequence[Manifest], now: datetime
) -> Plan:
    lost = [pod for pod in executors if _lost(pod)]
    ended = [pod for pod in executors if _phase(pod) in ("Succeeded", "Failed") and pod not in lost]
    if ended and _phase(ended[-1]) == "Succeeded":
        return _finished(run, "SUCCEEDED", now)
    if ended:
        return _failed(run, workloads, now)
    if len(lost) < len(executors):
        executor = next(pod for pod in executors if pod not in lost)
        state = "RUNNING" if _phase(executor) == "Running" else "PENDING"
        return Plan(status=_status(run, state, now))
    if len(lost) >= _ATTEMPTS:
        message = f"its executor was killed {len(lost)} times; the last: {_why(lost[-1])}"
        error = {"reason": "ExecutorLost", "message": message}
        return _failed(run, workloads, now, error)
    pod = _executor(run, 1 + max((_attempt(pod) for pod in executors), default=-1))
    event = EventNote("SuccessfulCreate", f"Created pod: {pod['metadata']['name']}")
    state = "RUNNING" if executors else "PENDING"
    return Plan(create=(pod,), status=_status(run, state, now), events=(event,))


def _cancelled(
    run: Manifest, executors: Sequence[Manifest], workloads: Sequence[Manifest], now: datetime
) -> Plan:
    alive = [pod for pod in executors if _phase(pod) not in ("Succeeded", "Failed")]
    ended = [pod for pod in executors if pod not in alive and not _lost(pod)]
    if ended and not alive and not _cancelling(run):
        # It ended by itself before anybody could cancel it.
        return _executing(run, executors, workloads, now)
    gone = [*alive, *(workload for workload in workloads if not _over(workload))]
    if gone:
        return Plan(status=_status(run, "CANCELING", now), delete=_to_delete(gone))
    return _finished(run, "CANCELED", now)


def _cancelling(run: Manifest) -> bool:
    return (run.get("status") or {}).get("state") == "CANCELING"


def _failed(
    run: Manifest,
    workloads: Sequence[Manifest],
    now: datetime,
    error: Mapping[str, str] | None = None,
) -> Plan:
    """Ends what nobody waits for any more, and only then says that the run failed."""
    gone = [workload for workload in workloads if not _over(workload)]
    if gone:
        return Plan(status=_status(run, "RUNNING", now), delete=_to_delete(gone))
    return _finished(run, "FAILED", now, error)


def _to_delete(objects: Sequence[Manifest]) -> tuple[Ref, ...]:
    return tuple(Ref.of(o) for o in objects if "deletionTimestamp" not in o["metadata"])


def _finished(
    run: Manifest, state: str, now: datetime, error: Mapping[str, str] | None = None
) -> Plan:
    status = _status(run, state, now)
    status["finishedAt"] = time_text(now)
    if error is not None:
        status["error"] = dict(error)
    event = EventNote(f"Run{state.capitalize()}", f"Run {state.lower()}", warning=state == "FAILED")
    return Plan(status=status, events=(event,))


def _status(run: Manifest, state: str, now: datetime) -> dict[str, Any]:
    status = deepcopy(dict(run.get("status") or {}))
    if _begun(run) < _retries(run):
        status["retries"] = _retries(run)
        status.pop("finishedAt", None)
        status.pop("error", None)
    if status.get("state") != state or not status.get("stateHistory"):
        history = status.get("stateHistory", [])
        status["stateHistory"] = [*history, {"state": state, "time": time_text(now)}]
    status["state"] = state
    status.setdefault("startedAt", time_text(now))
    return status


def _retries(run: Manifest) -> int:
    """How often the run was asked to begin again."""
    return int(run["spec"].get("retries", 0))


def _begun(run: Manifest) -> int:
    """How often it did so."""
    return int((run.get("status") or {}).get("retries", 0))


def _executor(run: Manifest, attempt: int) -> Manifest:
    template = run["spec"]["template"]
    name, retries = run["metadata"]["name"], _retries(run)
    labels = {**template.get("metadata", {}).get("labels", {}), LABEL_PIPELINE_RUN: name}
    if retries:
        labels[RETRY_LABEL] = str(retries)
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"{name}-executor-{f'{retries}-' if retries else ''}{attempt}",
            "namespace": run["metadata"]["namespace"],
            "labels": labels,
            "ownerReferences": [controller_reference(run)],
        },
        "spec": deepcopy(dict(template["spec"])),
    }


def _is_executor(child: Manifest) -> bool:
    return child["kind"] == "Pod" and LABEL_PIPELINE_RUN in child["metadata"].get("labels", {})


def _executes(child: Manifest, run: Manifest) -> bool:
    """Whether it is one of the executors since the run began last."""
    labels = child["metadata"].get("labels", {})
    return _is_executor(child) and labels.get(RETRY_LABEL, "0") == str(_retries(run))


def _attempt(executor: Manifest) -> int:
    return int(executor["metadata"]["name"].rpartition("-")[2])


def _phase(pod: Manifest) -> str:
    return str((pod.get("status") or {}).get("phase", "Pending"))


def _lost(pod: Manifest) -> bool:
    """Whether an executor was ended from outside: by a signal, a deletion, a restart."""
    if _phase(pod) != "Failed":
        return False
    status = pod["status"]
    if any(c["type"] == "DisruptionTarget" for c in status.get("conditions", ())):
        return True
    return int(_terminated(pod).get("exitCode", 137)) > 128


def _why(pod: Manifest) -> str:
    terminated = _terminated(pod)
    return f"exit code {terminated.get('exitCode')}, {terminated.get('reason', 'unknown')}"


def _terminated(pod: Manifest) -> Manifest:
    for container in pod["status"].get("containerStatuses", ()):
        if "terminated" in container.get("state", {}):
            return container["state"]["terminated"]  # type: ignore[no-any-return]
    return {}


def _over(workload: Manifest) -> bool:
    """Whether a workload, or a pod of one, came to its own end."""
    if workload["kind"] == "Pod":
        return _phase(workload) in ("Succeeded", "Failed")
    conditions = (workload.get("status") or {}).get("conditions", ())
    return any(
        c["type"] in ("Complete", "Succeeded", "Failed") and c["status"] == "True"
        for c in conditions
    )
