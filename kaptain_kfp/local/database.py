"""The SQLite file of a home: opened by several processes at once, from several threads."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from kaptain_kfp.exceptions import ClusterError, ClusterUnavailableError

__all__ = ["Database"]

_SCHEMA_VERSION = 1
_BUSY_SECONDS = 30.0
_NETWORK_FILE_SYSTEMS = ("nfs", "cifs", "smb", "fuse.sshfs", "9p", "afs", "lustre", "ceph", "gpfs")

_SCHEMA = """
CREATE TABLE objects (
    uid TEXT PRIMARY KEY,
    kind TEXT NOT NULL,
    namespace TEXT NOT NULL,
    name TEXT NOT NULL,
    body TEXT NOT NULL,
    UNIQUE (kind, namespace, name)
) WITHOUT ROWID;
CREATE TABLE owners (
    owner TEXT NOT NULL,
    uid TEXT NOT NULL,
    PRIMARY KEY (owner, uid)
) WITHOUT ROWID;
CREATE INDEX owned ON owners (uid);
CREATE TABLE log (
    revision INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    namespace TEXT NOT NULL,
    type TEXT NOT NULL,
    labels_before TEXT,
    body TEXT NOT NULL
);
CREATE TABLE facts (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO facts VALUES ('compacted', 0);
"""


class Database:
    """One home's database; each thread of each process has its own connection.

    Args:
        home: The folder; made where it is missing, readable by its owner only.

    Raises:
        ClusterError: The file is damaged (it is kept aside), or of a newer version.
        ClusterUnavailableError: The folder can't be written to.
    """

    def __init__(self, home: Path) -> None:
        self.home = home
        self.path = home / "kaptain.db"
        self._local = threading.local()
        self.connection()

    def connection(self) -> sqlite3.Connection:
        """Returns this thread's connection; a forked process gets one of its own."""
        if getattr(self._local, "pid", None) != os.getpid():
            self._local.connection = self._open()
            self._local.pid = os.getpid()
        found: sqlite3.Connection = self._local.connection
        return found

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """Opens a write transaction: alone in this home; rolled back by any exception.

        Raises:
            ClusterUnavailableError: It can't be written to.
        """
        connection = self.connection()
        with self._explained():
            connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
        except BaseException:
            with suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
            raise
        with self._explained():
            connection.execute("COMMIT")

    def _open(self) -> sqlite3.Connection:
        try:
            self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        except OSError as error:
            raise self._unavailable(error) from error
        with self._explained():
            connection = sqlite3.connect(
                self.path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            try:
                self._prepare(connection)
            except BaseException:
                connection.close()
                raise
        return connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:
            mode = "DELETE" if _on_network(self.home) else "WAL"
            connection.execute(f"PRAGMA journal_mode = {mode}")
            connection.execute("BEGIN IMMEDIATE")
            if connection.execute("PRAGMA user_version").fetchone()[0] == 0:
                for statement in _SCHEMA.split(";"):
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {_SCHEMA_VERSION}")
            connection.execute("COMMIT")
        elif version > _SCHEMA_VERSION:
            raise ClusterError(
                f"{self.path} was written by a newer version of kaptain-kfp.",
                resource=str(self.path),
                reason="NewerVersion",
                hint="Upgrade the package, or use another home (KAPTAIN_HOME).",
            )
        connection.execute("PRAGMA synchronous = NORMAL")

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turns what SQLite says into an error that says what to do."""
        try:
            yield
        except sqlite3.OperationalError as error:
            raise self._unavailable(error) from error
        except sqlite3.DatabaseError as error:
            raise self._set_aside(error) from error

    def _unavailable(self, error: Exception) -> ClusterUnavailableError:
        return ClusterUnavailableError(
            f"The local world's database {self.path} can't be used: {error}",
            resource=str(self.path),
            reason="Unavailable",
            hint="See that its folder is writable and its disk isn't full, "
            "or use another home (KAPTAIN_HOME).",
        )

    def _set_aside(self, error: Exception) -> ClusterError:
        aside = self.path.with_name(f"{self.path.name}.corrupt-{time.strftime('%Y%m%d-%H%M%S')}")
        for suffix in ("-wal", "-shm", ""):
            with suppress(OSError):
                Path(f"{self.path}{suffix}").rename(f"{aside}{suffix}")
        return ClusterError(
            f"The local world's database was damaged ({error}); it is kept as {aside}.",
            resource=str(self.path),
            reason="Corrupt",
            hint="The next call begins with an empty one; models, records and images aren't in it.",
        )


def _on_network(folder: Path) -> bool:
    """Whether a folder lies on a file system that several machines may share: no WAL there."""
    try:
        mounts = Path("/proc/mounts").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    path = str(folder.absolute())
    best, kind = "", ""
    for line in mounts:
        _, point, file_system, *_ = line.split(" ")
        point = point.replace("\\040", " ")
        inside = path == point or path.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):
            best, kind = point, file_system
    return kind.startswith(_NETWORK_FILE_SYSTEMS)
