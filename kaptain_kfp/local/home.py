"""What lies where in a home: the folder that holds one local world."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["Home"]


@dataclass(frozen=True)
class Home:
    """The folder of one local world (`$KAPTAIN_HOME`, default ``~/.kaptain``)."""

    root: Path

    @property
    def pods(self) -> Path:
        """A folder for each pod, named by its uid."""
        return self.root / "pods"

    @property
    def bells(self) -> Path:
        """The doorbells of waiting processes."""
        return self.root / "bells"

    @property
    def runs(self) -> Path:
        """A folder for each pipeline run: its artifacts and the outputs of its steps."""
        return self.root / "runs"

    @property
    def supervisor_lock(self) -> Path:
        """Held by the one supervisor of this home."""
        return self.root / "supervisor.lock"

    @property
    def supervisor_info(self) -> Path:
        """Who the supervisor is: pid, version."""
        return self.root / "supervisor.json"

    @property
    def supervisor_log(self) -> Path:
        """What the supervisor has to say."""
        return self.root / "supervisor.log"

    def pod(self, uid: str) -> Path:
        """Returns the folder of one pod."""
        return self.pods / uid

    def pod_log(self, uid: str, container: str | None = None) -> Path:
        """Returns the log file of one pod.

        Args:
            uid: The pod's.
            container: One of those that run before its main container, if it has any; all others
                write into the pod's own file.
        """
        own = self.pods / uid / f"log-{container}"
        return own if container and own.exists() else self.pods / uid / "log"

    def run(self, run_id: str) -> Path:
        """Returns the folder of one pipeline run."""
        return self.runs / run_id
