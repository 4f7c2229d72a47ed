"""Plays the pods of a home by scripts, in place of the scheduler and of the kubelet.

    with ScriptedKubelet(Home(folder)) as kubelet:
        kubelet.play(evicted(), succeed("done"), name="train-*")
        ...

The controllers of the home work as always; no pod becomes a process. Statuses, events and logs are
those that a real cluster leaves (see `kaptain_kfp.testing.podscripts`).
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from fnmatch import fnmatchcase
from types import TracebackType
from typing import Any

from kaptain_kfp.exceptions import (
    ClusterUnavailableError,
    ConfigurationError,
    ObjectConflictError,
    ObjectNotFoundError,
)
from kaptain_kfp.local.bell import Bell, ring
from kaptain_kfp.local.controllers import EventNote, Manifest
from kaptain_kfp.local.events import write_event
from kaptain_kfp.local.home import Home
from kaptain_kfp.local.objects import Objects
from kaptain_kfp.local.supervisor import KUBELET_VARIABLE

from .homes import has_kubelet
from .podscripts import succeed
from .podsteps import NODE, TERMINATED, Script, Step, Told, ended, filled

__all__ = ["ScriptedKubelet"]

Pod = Mapping[str, Any]

_LONGEST_WAIT = 0.5


@dataclass
class _Rule:
    """Which pods go by which scripts: the first by the first one, those after the last as it."""

    name: str
    labels: Mapping[str, str]
    when: Callable[[Pod], bool]
    scripts: tuple[Script, ...]
    used: int = 0

    def fits(self, pod: Pod) -> bool:
        metadata = pod["metadata"]
        there = metadata.get("labels") or {}
        return (
            fnmatchcase(metadata["name"], self.name)
            and self.labels.items() <= there.items()
            and self.when(pod)
        )

    def next(self) -> Script:
        script = self.scripts[min(self.used, len(self.scripts) - 1)]
        self.used += 1
        return script


@dataclass
class _Play:
    """How far a pod has come."""

    script: Script
    since: float
    done: int = 0
    killing: bool = False

    @property
    def next(self) -> Step | None:
        steps = self.script.steps
        return steps[self.done] if self.done < len(steps) else None


class ScriptedKubelet:
    """Plays the pods of one home.

    As a context manager it works in a thread, and supervisors that are started meanwhile leave the
    pods to it; without, `step` does what is due.

    Args:
        home: The home.
        otherwise: How pods go for which nothing else was said.
        clock: Seconds since some moment.
    """

    def __init__(
        self,
        home: Home,
        otherwise: Script | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._home = home
        self._objects = Objects(home.root)
        self._clock = clock
        self._rules: list[_Rule] = []
        self._otherwise = _Rule("*", {}, _always, (otherwise or succeed(),))
        self._plays: dict[str, _Play] = {}
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self._word_before: str | None = None
        self._trouble: Exception | None = None

    def play(
        self,
        *scripts: Script,
        name: str = "*",
        labels: Mapping[str, str] | None = None,
        when: Callable[[Pod], bool] | None = None,
    ) -> None:
        """Says how pods go that appear from now on; of several rules the first that fits counts.

        Args:
            *scripts: For the first such pod, the second …; further ones go as the last.
            name: A pattern of their names, e.g. ``train-worker-*``.
            labels: Labels that they have.
            when: What else must hold of them.

        Raises:
            ValueError: There is no script.
        """
        if not scripts:
            raise ValueError("Say by which script the pods go.")
        with self._lock:
            self._rules.append(_Rule(name, labels or {}, when or _always, scripts))

    def release(self) -> None:
        """Lets go of all pods that are stuck, as when their machine answers again."""
        with self._lock:
            for play in self._plays.values():
                play.script = Script(play.script.steps)
        ring(self._home.root)

    @property
    def playing(self) -> bool:
        """Whether its thread is at work."""
        return self._thread is not None and self._thread.is_alive()

    def step(self) -> float | None:
        """Does what is due.

        Returns:
            Seconds until something is due again, None where nothing is planned.
        """
        pods = self._objects.list("Pod").items
        with self._lock:
            there = {pod["metadata"]["uid"] for pod in pods}
            self._plays = {uid: play for uid, play in self._plays.items() if uid in there}
            due = [self._advance(pod) for pod in pods]
        return min((pause for pause in due if pause is not None), default=None)

    def __enter__(self) -> ScriptedKubelet:
        """Begins to play.

        Raises:
            ConfigurationError: A supervisor is there already, and has a kubelet of its own.
        """
        if has_kubelet(self._home.root):
            raise ConfigurationError(
                f"{self._home.root} has a supervisor already that runs its pods.",
                hint="Begin to play its pods before anything is done in it.",
            )
        self._word_before = os.environ.get(KUBELET_VARIABLE)
        os.environ[KUBELET_VARIABLE] = "off"
        self._thread = threading.Thread(target=self._work, name="scripted-kubelet", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Plays no more; what it stumbled over is raised here."""
        self._ended.set()
        ring(self._home.root)
        if self._thread is not None:
            self._thread.join()
        if self._word_before is None:
            os.environ.pop(KUBELET_VARIABLE, None)
        else:
            os.environ[KUBELET_VARIABLE] = self._word_before
        if self._trouble is not None and error is None:
            raise self._trouble

    def _work(self) -> None:
        try:
            with Bell(self._home.root) as bell:
                while not self._ended.is_set():
                    pause = self.step()
                    bell.wait(_LONGEST_WAIT if pause is None else min(pause, _LONGEST_WAIT))
        except Exception as error:
            removed = isinstance(error, ClusterUnavailableError) and not self._home.root.exists()
            self._trouble = None if removed else error

    def _advance(self, pod: Pod) -> float | None:
        """Takes a pod as far as is due; returns seconds until its next step."""
        try:
            if "deletionTimestamp" in pod["metadata"]:
                return self._end(pod)
            return self._go_on(pod)
        except (ObjectConflictError, ObjectNotFoundError):
            return 0.0  # it changed meanwhile: look again

    def _play_of(self, pod: Pod) -> _Play:
        uid = pod["metadata"]["uid"]
        if uid not in self._plays:
            rules = (*self._rules, self._otherwise)
            rule = next(rule for rule in rules if rule.fits(pod))
            self._plays[uid] = _Play(rule.next(), self._clock())
        return self._plays[uid]

    def _go_on(self, pod: Pod) -> float | None:
        play = self._play_of(pod)
        while (step := play.next) is not None:
            left = play.since + step.after - self._clock()
            if left > 0:
                return left
            pod = self._do(pod, step)
            play.done += 1
            play.since = self._clock()
            if step.delete:
                return 0.0
        return None

    def _do(self, pod: Pod, step: Step) -> Pod:
        metadata = pod["metadata"]
        now = datetime.now(timezone.utc)
        if step.bind:
            machine = {"metadata": {"uid": metadata["uid"]}, "spec": {"nodeName": NODE}}
            pod = self._objects.patch("Pod", metadata["name"], metadata["namespace"], machine)
        if step.log:
            self._print(metadata["uid"], step.log)
        if step.status is not None:
            pod = self._write(pod, step.status(pod, now))
        for told in step.told:
            self._tell(pod, told, now)
        if step.delete:
            self._objects.delete(
                "Pod", metadata["name"], metadata["namespace"], uid=metadata["uid"]
            )
        return pod

    def _write(self, pod: Pod, status: Mapping[str, Any]) -> Pod:
        current = {**(pod.get("status") or {}), **status}
        return self._objects.update({**pod, "status": current}, status=True)

    def _print(self, uid: str, text: str) -> None:
        log = self._home.pod_log(uid)
        log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with log.open("a", encoding="utf-8") as file:
            file.write(text if text.endswith("\n") else f"{text}\n")
        ring(self._home.root)

    def _end(self, pod: Pod) -> float | None:
        """Ends a pod that is to be deleted, unless it is stuck."""
        play = self._play_of(pod)
        now = datetime.now(timezone.utc)
        runs = (pod.get("status") or {}).get("phase") == "Running"
        if runs and not play.killing:
            self._tell(pod, Told("Killing", "Stopping container {main}"), now)
            play.killing = True
        if not play.script.lets_go:
            return None
        if runs:
            self._write(pod, ended(TERMINATED)(pod, now))
        metadata = pod["metadata"]
        self._objects.delete(
            "Pod", metadata["name"], metadata["namespace"], grace_seconds=0, uid=metadata["uid"]
        )
        return None

    def _tell(self, pod: Manifest, told: Told, now: datetime) -> None:
        note = EventNote(told.reason, filled(told.message, pod), told.warning)
        with suppress(ObjectNotFoundError):
            write_event(self._objects, pod, note, told.component, now)


def _always(pod: Pod) -> bool:
    return True
