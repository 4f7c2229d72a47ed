"""The SQLite file of a home: opened by several processes at once, from several threads."""

from __future__ import annotations

import fcntl
import os
import re
import sqlite3
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

from kaptain_kfp.exceptions import ClusterError, ClusterUnavailableError

__all__ = ["NEWEST_SCHEMA", "Database", "on_network"]

NEWEST_SCHEMA = 1
_BUSY_SECONDS = 30.0
_LONGEST_KEPT_WAL = 16 << 20
_NETWORK_FILE_SYSTEMS = (
    *("nfs", "cifs", "smb", "ncpfs", "9p", "afs", "virtiofs", "fuse."),
    *("lustre", "ceph", "gpfs", "beegfs", "gfs2", "ocfs2"),
)

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
    before TEXT,
    body TEXT NOT NULL
);
CREATE TABLE facts (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
INSERT INTO facts VALUES ('compacted', 0);
"""

_INHERITED: list[sqlite3.Connection] = []
"""Connections of a parent process: SQLite forbids to use them after a fork, and even to close."""


class _Connection(sqlite3.Connection):
    """Closes itself once nobody has it any more, unless it is a parent process's."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        self._pid = os.getpid()
        super().__init__(*args, **settings)

    def __del__(self) -> None:
        if self._pid == os.getpid():
            with suppress(sqlite3.Error):
                self.close()
        else:
            _INHERITED.append(self)


class _Held:
    """A connection of one thread, to one file; closed only by the process that opened it."""

    def __init__(self, connection: sqlite3.Connection, file: tuple[int, int]) -> None:
        self.connection = connection
        self.file = file
        self.pid = os.getpid()

    def close(self) -> None:
        """Closes it; in a forked process it is the parent's, and left as it is."""
        if self.pid == os.getpid():
            self.connection.close()


class Database:
    """One home's database; each thread of each process has its own connection.

    A file that was removed or replaced meanwhile is opened anew.

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
        self._held()

    @contextmanager
    def read(self) -> Iterator[sqlite3.Connection]:
        """Opens a transaction that sees one state of everything, or joins the one that is open.

        Raises:
            ClusterError: The file is damaged.
            ClusterUnavailableError: It can't be read.
        """
        held = self._held()
        with self._explained():
            if held.connection.in_transaction:
                yield held.connection
                return
            with _transaction(held.connection, "BEGIN"):
                yield held.connection

    @contextmanager
    def write(self) -> Iterator[sqlite3.Connection]:
        """Opens a write transaction: alone in this home; rolled back by any exception.

        Raises:
            ClusterError: The file is damaged.
            ClusterUnavailableError: It can't be written to.
        """
        held = self._held()
        with self._explained(), _transaction(held.connection, "BEGIN IMMEDIATE"):
            yield held.connection

    def _held(self) -> _Held:
        held: _Held | None = getattr(self._local, "held", None)
        if held is None or held.pid != os.getpid() or held.file != _identity(self.path):
            held = self._open()
        return held

    def _open(self) -> _Held:
        try:
            self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
            held = self._local.held = self._connect()
        except (OSError, sqlite3.Error) as error:
            raise self._unavailable(error) from error
        try:
            with self._explained():
                self._prepare(held.connection)
        except BaseException:
            self._local.held = None
            held.close()
            raise
        return held

    def _connect(self) -> _Held:
        while True:
            file = _identity(self.path)
            if file is None:
                self._create()
                continue
            try:
                return _Held(_connect(self.path), file)
            except sqlite3.OperationalError:
                if _identity(self.path) == file:
                    raise

    def _create(self) -> None:
        """Makes the file as a whole under another name, so that nobody ever meets a half one.

        A descriptor of a database that is in use must never be closed: it takes the locks of all
        connections of the process along.
        """
        draft = self.home / f".kaptain.db.{uuid.uuid4().hex}"
        os.close(os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        try:
            with closing(_connect(draft)) as connection:
                connection.executescript(
                    f"BEGIN; {_SCHEMA} PRAGMA user_version = {NEWEST_SCHEMA}; COMMIT;"
                )
            with self._alone():
                if not self.path.exists():
                    for suffix in ("-wal", "-shm"):  # of a file that somebody removed: stale
                        Path(f"{self.path}{suffix}").unlink(missing_ok=True)
                    draft.rename(self.path)
        finally:
            for suffix in ("", "-journal"):
                Path(f"{draft}{suffix}").unlink(missing_ok=True)

    def _prepare(self, connection: sqlite3.Connection) -> None:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version > NEWEST_SCHEMA:
            raise ClusterError(
                f"{self.path} was written by a newer version of kaptain-kfp.",
                resource=str(self.path),
                reason="NewerVersion",
                hint="Upgrade the package, or use another home (KAPTAIN_HOME).",
            )
        if version < NEWEST_SCHEMA:
            raise sqlite3.DatabaseError("it has no schema")
        wanted = "delete" if on_network(self.home) else "wal"
        if connection.execute("PRAGMA journal_mode").fetchone()[0] != wanted:
            with suppress(sqlite3.OperationalError):  # in use: whoever opens it next tries again
                connection.execute(f"PRAGMA journal_mode = {wanted}")
        # With a write-ahead log, a power cut can take the last changes, but damages nothing.
        connection.execute(f"PRAGMA synchronous = {'NORMAL' if wanted == 'wal' else 'FULL'}")
        connection.execute(f"PRAGMA journal_size_limit = {_LONGEST_KEPT_WAL}")

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turns what SQLite says into an error that says what to do."""
        try:
            yield
        except sqlite3.OperationalError as error:
            raise self._unavailable(error) from error
        except sqlite3.DatabaseError as error:
            if type(error) is not sqlite3.DatabaseError:
                raise
            raise self._set_aside(error) from error

    def _unavailable(self, error: Exception) -> ClusterUnavailableError:
        hint = (
            "See that its folder is writable and its disk isn't full, "
            "or use another home (KAPTAIN_HOME)."
        )
        if "locked" in str(error):
            hint = f"Another process has been writing for {_BUSY_SECONDS:g} s: see who uses it."
        return ClusterUnavailableError(
            f"The local world's database {self.path} can't be used: {error}",
            resource=str(self.path),
            reason="Unavailable",
            hint=hint,
        )

    def _set_aside(self, error: Exception) -> ClusterError:
        """Renames the damaged file, unless another process has done so already."""
        stamp = time.strftime("%Y%m%d-%H%M%S")
        aside = self.path.with_name(f"{self.path.name}.corrupt-{stamp}-{uuid.uuid4().hex[:4]}")
        held: _Held = self._local.held
        self._local.held = None
        held.close()
        where = f"beside it as {self.path.name}.corrupt-…"
        try:
            with self._alone():
                if held.file == _identity(self.path):
                    for suffix in ("-wal", "-shm", ""):
                        with suppress(FileNotFoundError):
                            Path(f"{self.path}{suffix}").rename(f"{aside}{suffix}")
                    where = f"as {aside}"
        except OSError as trouble:
            why = f"it is damaged ({error}), and can't be set aside ({trouble})"
            return self._unavailable(OSError(why))
        return ClusterError(
            f"The local world's database {self.path} was damaged ({error}); it is kept {where}.",
            resource=str(self.path),
            reason="Corrupt",
            hint="The next call begins with an empty one; models, records and images aren't in it.",
        )

    @contextmanager
    def _alone(self) -> Iterator[None]:
        lock = os.open(f"{self.path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
        finally:
            os.close(lock)


@contextmanager
def _transaction(connection: sqlite3.Connection, begin: str) -> Iterator[None]:
    connection.execute(begin)
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        raise


def _connect(path: Path) -> sqlite3.Connection:
    """Opens a file that is there; never makes one."""
    return sqlite3.connect(
        f"file:{quote(os.fsencode(path))}?mode=rw",
        uri=True,
        timeout=_BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
        factory=_Connection,
    )


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def on_network(folder: Path, mounts: Path = Path("/proc/mounts")) -> bool:
    """Whether a folder lies on a file system that several machines may share: no WAL there."""
    try:
        lines = mounts.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return False
    path = str(folder.resolve())
    best, kind = "", ""
    for line in lines:
        _, escaped, file_system, *_ = line.split(" ")
        point = re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), escaped)
        inside = path == point or path.startswith(point.rstrip("/") + "/")
        if inside and len(point) >= len(best):
            best, kind = point, file_system
    return kind.startswith(_NETWORK_FILE_SYSTEMS)
