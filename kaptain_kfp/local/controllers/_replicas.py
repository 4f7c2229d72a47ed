"""What TFJobs and PyTorchJobs have in common: named replicas that train together.

Each replica is a pod of a fixed name with a Service of the same name, through which the others find
it. Statuses, conditions, reasons and texts are those of the Training Operator (1.9). Not imitated:
restarts (the jobs that we make say ``Never``), elastic training, gang scheduling, suspension.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from . import EventNote, Manifest, Plan, Ref, controller_reference, parse_time, time_text
from ._pods import alive as _alive
from ._pods import has_condition as _condition
from ._pods import leaving as _leaving
from ._pods import phase as _phase

__all__ = ["Addresses", "Replica", "ReplicaController"]

_LABEL = "training.kubeflow.org"

Addresses = Mapping["Replica", tuple[str, int]]
"""Where each replica can be reached: host and port."""


@dataclass(frozen=True)
class Replica:
    """One replica of a job.

    Attributes:
        role: E.g. ``Worker``.
        index: Counted from 0 within its role.
    """

    role: str
    index: int


class ReplicaController(ABC):
    """Keeps the replicas of a job together.

    Attributes:
        kind: The kind of the jobs.
        component: The operator's name in events and labels.
        field: Where in the spec the replicas are.
        container: The container that trains.
        port: Name and number of the port by which replicas find each other.
        roles: The known roles, the one that decides about success first.
    """

    kind: str
    component: str
    field: str
    container: str
    port: tuple[str, int]
    roles: tuple[str, ...]

    @abstractmethod
    def environment(
        self, manifest: Manifest, replica: Replica, addresses: Addresses
    ) -> Mapping[str, str]:
        """Returns what the operator sets in the environment of a replica."""

    @abstractmethod
    def messages(self, manifest: Manifest) -> Mapping[str, str]:
        """Returns the operator's words for the conditions Running, Succeeded and Failed."""

    def related(self, manifest: Manifest) -> Mapping[str, str]:
        """A job sees its own pods and Services only."""
        return {}

    def finished(self, manifest: Manifest) -> bool:
        """A job is over once Succeeded or Failed is True."""
        return _condition(manifest, "Succeeded") or _condition(manifest, "Failed")

    def reconcile(self, manifest: Manifest, children: Sequence[Manifest], now: datetime) -> Plan:
        """Plans one job."""
        if "deletionTimestamp" in manifest["metadata"]:
            return Plan()
        pods = [child for child in children if child["kind"] == "Pod"]
        services = [child for child in children if child["kind"] == "Service"]
        if self.finished(manifest):
            return _after_the_end(manifest, pods, services, now)
        status = _begun(self.kind, manifest, now)
        over = _deadline(manifest, status)
        if over is not None and now >= over:
            message = (
                f"Job {manifest['metadata']['name']} has failed "
                "because it was active longer than specified deadline"
            )
            return self._ended(status, "Failed", message, pods, now)
        status["replicaStatuses"] = self._counts(manifest, pods)
        verdict = self._verdict(manifest, pods)
        if verdict is not None:
            return self._ended(status, *verdict, pods, now)
        return self._at_work(manifest, status, pods, services, now, over)

    def _at_work(
        self,
        manifest: Manifest,
        status: dict[str, Any],
        pods: Sequence[Manifest],
        services: Sequence[Manifest],
        now: datetime,
        over: datetime | None,
    ) -> Plan:
        replicas = self.replicas(manifest)
        known = {service["metadata"]["name"] for service in services}
        missing = [r for r in replicas if _name(manifest, r) not in known]
        if missing:
            created = tuple(self._service(manifest, replica) for replica in missing)
            return Plan(
                create=created, status=status, requeue_at=over, refusal="FailedCreateService"
            )
        addresses = self._addresses(manifest, replicas, services)
        there = {pod["metadata"]["name"] for pod in pods}
        made = tuple(
            self._pod(manifest, replica, addresses)
            for replica in replicas
            if _name(manifest, replica) not in there
        )
        if any(_phase(pod) == "Running" for pod in pods if _is_chief(pod)):
            _set(status, "Running", f"{self.kind}Running", self.messages(manifest)["Running"], now)
        events = tuple(
            EventNote("SuccessfulCreatePod", f"Created pod: {pod['metadata']['name']}")
            for pod in made
        )
        return Plan(
            create=made, status=status, events=events, requeue_at=over, refusal="FailedCreatePod"
        )

    def replicas(self, manifest: Manifest) -> list[Replica]:
        """Returns the replicas that a job asks for, the deciding one first."""
        specs = manifest["spec"].get(self.field, {})
        return [
            Replica(role, index)
            for role in self.roles
            if role in specs
            for index in range(int(specs[role].get("replicas", 1)))
        ]

    def _verdict(self, manifest: Manifest, pods: Sequence[Manifest]) -> tuple[str, str] | None:
        failed = [pod for pod in pods if _phase(pod) == "Failed"]
        messages = self.messages(manifest)
        if failed:
            role = _role(failed[0], self.roles)
            alike = sum(1 for pod in failed if _role(pod, self.roles) == role)
            because = f"because {alike} {role} replica(s) failed."
            return "Failed", f"{messages['Failed']} {because}"
        if any(_phase(pod) == "Succeeded" for pod in pods if _is_chief(pod)):
            return "Succeeded", messages["Succeeded"]
        return None

    def _ended(
        self,
        status: dict[str, Any],
        verdict: str,
        message: str,
        pods: Sequence[Manifest],
        now: datetime,
    ) -> Plan:
        """Writes the last condition; what still runs is ended by the next plan."""
        reason = f"{self.kind}{verdict}"
        _set(status, verdict, reason, message, now)
        status["completionTime"] = time_text(now)
        return Plan(
            status=status,
            delete=tuple(Ref.of(pod) for pod in pods if _alive(pod)),
            events=(EventNote(reason, message, warning=verdict == "Failed"),),
        )

    def _counts(self, manifest: Manifest, pods: Sequence[Manifest]) -> dict[str, Any]:
        phases = {"Running": "active", "Succeeded": "succeeded", "Failed": "failed"}
        counts: dict[str, Any] = {role: {} for role in manifest["spec"].get(self.field, {})}
        for pod in pods:
            word = phases.get(_phase(pod))
            if word is not None:
                role = counts.setdefault(_role(pod, self.roles), {})
                role[word] = role.get(word, 0) + 1
        return counts

    def _labels(self, manifest: Manifest, replica: Replica) -> dict[str, str]:
        return {
            f"{_LABEL}/job-name": manifest["metadata"]["name"],
            f"{_LABEL}/operator-name": self.component,
            f"{_LABEL}/replica-index": str(replica.index),
            f"{_LABEL}/replica-type": replica.role.lower(),
        }

    def _service(self, manifest: Manifest, replica: Replica) -> Manifest:
        labels = self._labels(manifest, replica)
        name, number = self.port
        return {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": _child_metadata(manifest, replica, labels),
            "spec": {
                "clusterIP": "None",
                "selector": labels,
                "ports": [{"name": name, "port": number}],
            },
        }

    def _addresses(
        self, manifest: Manifest, replicas: Sequence[Replica], services: Sequence[Manifest]
    ) -> Addresses:
        ports = {s["metadata"]["name"]: s["spec"]["ports"][0]["nodePort"] for s in services}
        return {r: ("127.0.0.1", ports[_name(manifest, r)]) for r in replicas}

    def _pod(self, manifest: Manifest, replica: Replica, addresses: Addresses) -> Manifest:
        template = deepcopy(manifest["spec"][self.field][replica.role]["template"])
        metadata = template.get("metadata", {})
        labels = {**metadata.get("labels", {}), **self._labels(manifest, replica)}
        if replica.role == self.roles[0] or (
            replica.index == 0 and self.roles[0] not in manifest["spec"][self.field]
        ):
            labels[f"{_LABEL}/job-role"] = "master"
        spec = template["spec"]
        spec["restartPolicy"] = "Never"
        own = self.environment(manifest, replica, addresses)
        for container in spec["containers"]:
            if container["name"] == self.container:
                # Of two variables of one name the later counts: the operator's.
                added = [{"name": name, "value": value} for name, value in own.items()]
                container["env"] = [*container.get("env", ()), *added]
        child = _child_metadata(manifest, replica, labels)
        if metadata.get("annotations"):
            child["annotations"] = dict(metadata["annotations"])
        return {"apiVersion": "v1", "kind": "Pod", "metadata": child, "spec": spec}


def _child_metadata(
    manifest: Manifest, replica: Replica, labels: Mapping[str, str]
) -> dict[str, Any]:
    return {
        "name": _name(manifest, replica),
        "namespace": manifest["metadata"]["namespace"],
        "labels": dict(labels),
        "ownerReferences": [controller_reference(manifest)],
    }


def _begun(kind: str, manifest: Manifest, now: datetime) -> dict[str, Any]:
    status = deepcopy(dict(manifest.get("status") or {}))
    status.setdefault("startTime", time_text(now))
    name = manifest["metadata"]["name"]
    if not any(c["type"] == "Created" for c in status.get("conditions", ())):
        _set(status, "Created", f"{kind}Created", f"{kind} {name} is created.", now)
    return status


def _deadline(manifest: Manifest, status: Mapping[str, Any]) -> datetime | None:
    seconds = manifest["spec"].get("runPolicy", {}).get("activeDeadlineSeconds")
    return None if seconds is None else parse_time(status["startTime"]) + timedelta(seconds=seconds)


def _after_the_end(
    manifest: Manifest, pods: Sequence[Manifest], services: Sequence[Manifest], now: datetime
) -> Plan:
    """Ends what still runs, whatever the policy: nobody waits for it any more."""
    policy = manifest["spec"].get("runPolicy", {})
    everything = policy.get("cleanPodPolicy") == "All"
    doomed = [pod for pod in pods if everything or _alive(pod)]
    gone = tuple(Ref.of(child) for child in (*doomed, *services) if not _leaving(child))
    ttl = policy.get("ttlSecondsAfterFinished")
    if ttl is None:
        return Plan(delete=gone)
    expires = parse_time(manifest["status"]["completionTime"]) + timedelta(seconds=ttl)
    if now < expires:
        return Plan(delete=gone, requeue_at=expires)
    return Plan(delete=(*gone, Ref.of(manifest)))


def _set(status: dict[str, Any], name: str, reason: str, message: str, now: datetime) -> None:
    """Sets a condition as the operator does: a final one turns Running to False."""
    conditions = [dict(condition) for condition in status.get("conditions", ())]
    if any(c["type"] == name and c["status"] == "True" for c in conditions):
        return
    if name in ("Succeeded", "Failed"):
        for condition in conditions:
            if condition["type"] == "Running":
                condition.update(status="False", lastTransitionTime=time_text(now))
    conditions.append(
        {
            "type": name,
            "status": "True",
            "reason": reason,
            "message": message,
            "lastUpdateTime": time_text(now),
            "lastTransitionTime": time_text(now),
        }
    )
    status["conditions"] = conditions


def _name(manifest: Manifest, replica: Replica) -> str:
    return f"{manifest['metadata']['name']}-{replica.role.lower()}-{replica.index}"


def _role(pod: Manifest, roles: Sequence[str]) -> str:
    told = pod["metadata"].get("labels", {}).get(f"{_LABEL}/replica-type", "")
    return next((role for role in roles if role.lower() == told), told)


def _is_chief(pod: Manifest) -> bool:
    return pod["metadata"].get("labels", {}).get(f"{_LABEL}/job-role") == "master"  # type: ignore[no-any-return]
