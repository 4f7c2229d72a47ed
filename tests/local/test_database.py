from __future__ import annotations

import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from kaptain_kfp.exceptions import ClusterError, ClusterUnavailableError
from kaptain_kfp.local.database import Database, on_network

INSERT = "INSERT INTO facts VALUES (?, 1)"
NOBODY = 65534


def put(database: Database, name: str) -> None:
    with database.write() as connection:
        connection.execute(INSERT, [name])


def names(database: Database) -> list[str]:
    with database.read() as connection:
        rows = connection.execute("SELECT name FROM facts WHERE name != 'compacted' ORDER BY name")
        return [row[0] for row in rows]


def kept_aside(home: Path) -> list[Path]:
    return [p for p in home.glob("kaptain.db.corrupt-*") if p.suffix[-4:] not in ("-wal", "-shm")]


def run(program: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """Runs a program in a process of its own."""
    # Python 3.12 warns of every fork beside threads, which is what some programs try.
    quiet = ["-W", "ignore::DeprecationWarning"]
    command = [sys.executable, *quiet, "-c", program, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def is_whole(home: Path) -> bool:
    with Database(home).read() as connection:
        return bool(connection.execute("PRAGMA integrity_check").fetchone() == ("ok",))


def test_the_folder_is_private(tmp_path: Path) -> None:
    home = tmp_path / "my höme %20" / "of models"
    put(Database(home), "a")
    assert home.stat().st_mode & 0o777 == 0o700
    for file in home.iterdir():
        assert file.stat().st_mode & 0o777 == 0o600, file
    assert names(Database(home)) == ["a"]


def test_it_is_a_write_ahead_log_on_this_machines_disk(tmp_path: Path) -> None:
    if on_network(tmp_path):
        pytest.skip("the folder for tests lies on a network file system")
    with Database(tmp_path).read() as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


@pytest.mark.parametrize(
    ("folder", "expected"),
    [
        ("/", False),
        ("/data/me", False),
        ("/data/team/me", True),
        ("/data/team", True),
        ("/data/teams", False),
        ("/with blank/x", True),
        ("/drive/x", True),
    ],
)
def test_network_file_systems(tmp_path: Path, folder: str, expected: bool) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text(
        "/dev/sda / ext4 rw 0 0\n"
        "/dev/sdb /data xfs rw 0 0\n"
        "server:/x /data/team nfs4 rw 0 0\n"
        "//server/y /with\\040blank cifs rw 0 0\n"
        "drive /drive fuse.drive rw 0 0\n"
    )
    assert on_network(Path(folder), mounts) is expected
    assert not on_network(Path(folder), tmp_path / "none")


def test_an_exception_rolls_back(tmp_path: Path) -> None:
    database = Database(tmp_path)
    with pytest.raises(KeyError), database.write() as connection:
        connection.execute(INSERT, ["a"])
        raise KeyError
    assert names(database) == []
    put(database, "b")
    assert names(database) == ["b"]


def test_a_reader_sees_one_state(tmp_path: Path) -> None:
    database = Database(tmp_path)
    with database.read():
        assert names(database) == []  # joins the transaction that is open
        writer = threading.Thread(target=put, args=(database, "a"))
        writer.start()
        writer.join()
        assert names(database) == []
    assert names(database) == ["a"]


def test_reading_within_a_write_sees_it(tmp_path: Path) -> None:
    database = Database(tmp_path)
    with database.write() as connection:
        connection.execute(INSERT, ["a"])
        assert names(database) == ["a"]


def test_another_connection_does_not_break_the_locks(tmp_path: Path) -> None:
    """POSIX drops all locks of a process on a file once it closes any descriptor of it."""
    use_and_leave = (
        "import sqlite3, sys\n"
        "connection = sqlite3.connect(sys.argv[1], timeout=0, isolation_level=None)\n"
        "connection.execute('SELECT * FROM facts').fetchall()\n"
        "try:\n"
        "    connection.execute('BEGIN IMMEDIATE')\n"
        "except sqlite3.OperationalError as error:\n"
        "    print(error)\n"
        "connection.close()\n"
    )
    database = Database(tmp_path)
    with database.write() as connection:
        connection.execute(INSERT, ["a"])
        for open_another in (lambda: names(database), lambda: names(Database(tmp_path))):
            other = threading.Thread(target=open_another)
            other.start()
            other.join()
        command = [sys.executable, "-c", use_and_leave, str(database.path)]
        answer = subprocess.run(command, capture_output=True, text=True, check=True)
        assert answer.stdout == "database is locked\n"
    # Whoever believes to be the last one takes the write-ahead log away.
    subprocess.run(command, check=True)
    assert Path(f"{database.path}-wal").exists() or on_network(tmp_path)


def test_many_open_a_new_home_at_once(tmp_path: Path) -> None:
    home = tmp_path / "home"
    script = (
        "import sys; from pathlib import Path; from kaptain_kfp.local.database import Database\n"
        f"with Database(Path(sys.argv[1])).write() as c: c.execute({INSERT!r}, [sys.argv[2]])"
    )
    started = [
        subprocess.Popen([sys.executable, "-c", script, str(home), f"p{number}"])
        for number in range(4)
    ]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda number: put(Database(home), f"t{number}"), range(16)))
    assert [process.wait() for process in started] == [0] * 4
    assert set(names(Database(home))) == {f"p{n}" for n in range(4)} | {f"t{n}" for n in range(16)}
    assert not list(home.glob(".kaptain.db.*"))


def test_a_forked_process_has_its_own_connection(tmp_path: Path) -> None:
    script = (
        "import os, sys; from pathlib import Path\n"
        "from kaptain_kfp.local.database import Database\n"
        "database = Database(Path(sys.argv[1]))\n"
        "def put(name):\n"
        f"    with database.write() as c: c.execute({INSERT!r}, [name])\n"
        "put('before')\n"
        "with database.read() as mine: pass\n"
        "child = os.fork()\n"
        "with database.read() as now: assert (now is mine) == bool(child)\n"
        "for number in range(50): put(f'{bool(child)}-{number}')\n"
        "if child: sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path)], check=True)
    both = {f"{who}-{number}" for who in (True, False) for number in range(50)}
    assert set(names(Database(tmp_path))) == {"before", *both}


def test_a_newer_version_is_left_alone(tmp_path: Path) -> None:
    put(Database(tmp_path), "a")
    with sqlite3.connect(tmp_path / "kaptain.db") as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()
    with pytest.raises(ClusterError, match="newer version") as caught:
        Database(tmp_path)
    assert caught.value.reason == "NewerVersion" and "Upgrade" in str(caught.value)
    assert not kept_aside(tmp_path)


@pytest.mark.parametrize("content", [b"", b"this is no database\n" * 500])
@pytest.mark.fault("database corrupt")
def test_a_damaged_file_is_kept_aside_and_named(tmp_path: Path, content: bytes) -> None:
    damaged = tmp_path / "kaptain.db"
    damaged.write_bytes(content)
    with pytest.raises(ClusterError) as caught:
        Database(tmp_path)
    assert caught.value.reason == "Corrupt"
    (aside,) = kept_aside(tmp_path)
    assert str(aside) in str(caught.value)
    assert aside.read_bytes() == content
    assert names(Database(tmp_path)) == []


def damage(database: Database) -> None:
    """Destroys what lies behind the first page."""
    with database.write() as connection:
        connection.executemany(INSERT, [(f"{number:0500}",) for number in range(500)])
    with sqlite3.connect(database.path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    with database.path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 400_000)


@pytest.mark.fault("database corrupt")
def test_damage_is_met_while_in_use(tmp_path: Path) -> None:
    database = Database(tmp_path)
    damage(database)
    other = Database(tmp_path)
    with pytest.raises(ClusterError) as caught:
        names(other)
    assert caught.value.reason == "Corrupt"
    assert kept_aside(tmp_path)[0].stat().st_size > 400_000
    assert names(other) == [] and names(database) == []


def test_only_the_damaged_file_is_set_aside(tmp_path: Path) -> None:
    damage(Database(tmp_path))
    first, second = Database(tmp_path), Database(tmp_path)
    with pytest.raises(ClusterError, match="kept beside it"), second.read() as connection:
        with pytest.raises(ClusterError, match="kept as"):
            names(first)
        put(first, "new")
        connection.execute("SELECT name FROM facts").fetchall()
    assert len(kept_aside(tmp_path)) == 1
    assert names(first) == names(second) == ["new"]


@pytest.mark.fault("database corrupt")
def test_many_meet_the_damage_at_once(tmp_path: Path) -> None:
    (tmp_path / "kaptain.db").write_bytes(b"this is no database\n" * 500)
    ready = threading.Barrier(8)

    def use(number: int) -> None:
        ready.wait()
        while True:
            try:
                return put(Database(tmp_path), f"{number}")
            except ClusterError as error:
                assert error.reason == "Corrupt"

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(use, range(8)))
    assert len(kept_aside(tmp_path)) == 1
    assert names(Database(tmp_path)) == [str(number) for number in range(8)]


def test_a_home_that_was_removed_is_made_anew(tmp_path: Path) -> None:
    home = tmp_path / "home"
    database = Database(home)
    put(database, "a")
    shutil.rmtree(home)
    put(database, "b")
    assert names(database) == names(Database(home)) == ["b"]


def test_what_is_left_of_a_removed_file_is_not_taken_for_the_new_ones(tmp_path: Path) -> None:
    database = Database(tmp_path)
    put(database, "a")
    assert Path(f"{database.path}-wal").stat().st_size
    database.path.unlink()
    assert names(Database(tmp_path)) == []


def test_a_home_that_can_not_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ClusterUnavailableError) as caught:
        Database(tmp_path / "file" / "home")
    assert str(tmp_path / "file" / "home") in str(caught.value)
    assert "KAPTAIN_HOME" in str(caught.value)


READ_ONLY = """
import os, sys
from pathlib import Path
from kaptain_kfp.exceptions import ClusterUnavailableError
from kaptain_kfp.local.database import Database
if os.getuid() == 0:
    os.setgroups([])
    os.setgid(int(sys.argv[2]))
    os.setuid(int(sys.argv[2]))
try:
    with Database(Path(sys.argv[1])).write() as connection:
        connection.execute("INSERT INTO facts VALUES ('a', 1)")
except ClusterUnavailableError as error:
    print(error.reason, error.hint)
"""


@pytest.fixture
def public_folder() -> Iterator[Path]:
    """A folder that everybody may enter, unlike pytest's."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder)


@pytest.mark.parametrize("made_before", [False, True])
def test_a_home_that_may_not_be_written_to(public_folder: Path, made_before: bool) -> None:
    home = public_folder / "home"
    home.mkdir()
    if made_before:
        put(Database(home), "b")
    for path in home.iterdir():
        path.chmod(0o444)
    home.chmod(0o555)  # nothing is read-only to root: that one becomes nobody
    done = run(READ_ONLY, home, str(NOBODY))
    home.chmod(0o755)
    assert done.stderr == ""
    assert done.stdout.startswith("Unavailable See that its folder is writable")


def test_a_full_disk(tmp_path: Path) -> None:
    database = Database(tmp_path)
    with database.read() as connection:
        pages = connection.execute("PRAGMA page_count").fetchone()[0]
        connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(ClusterUnavailableError, match=r"kaptain\.db can't be used: .* full"):
        put(database, "x" * 100_000)
    assert names(database) == []


def test_a_lock_that_is_held_too_long(tmp_path: Path) -> None:
    database = Database(tmp_path)
    with database.read() as connection:
        connection.execute("PRAGMA busy_timeout = 10")
    holding, enough = threading.Event(), threading.Event()

    def hold() -> None:
        with database.write():
            holding.set()
            enough.wait(20)

    holder = threading.Thread(target=hold)
    holder.start()
    holding.wait(20)
    with pytest.raises(ClusterUnavailableError, match="locked") as caught:
        put(database, "a")
    assert "Another process" in str(caught.value)
    enough.set()
    holder.join()
    put(database, "a")


def test_a_mistake_in_a_statement_says_nothing_of_the_file(tmp_path: Path) -> None:
    database = Database(tmp_path)
    put(database, "a")
    with pytest.raises(sqlite3.IntegrityError):
        put(database, "a")
    assert names(database) == ["a"]
    assert not kept_aside(tmp_path)


FULL_DISK = """
import resource, sys
from pathlib import Path
from kaptain_kfp.exceptions import ClusterUnavailableError
from kaptain_kfp.local.objects import Objects

objects = Objects(Path(sys.argv[1]))
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, hard))
config = {"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "x" * 10_000}}
made = []
try:
    for number in range(1000):
        metadata = {"name": f"c{number}"}
        objects.create({**config, "metadata": metadata})
        made.append(metadata["name"])
except ClusterUnavailableError as error:
    print(error.reason, len(made) > 3, error.hint)
there = sorted(o["metadata"]["name"] for o in objects.list("ConfigMap").items)
print(there == sorted(made))
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
objects.create({**config, "metadata": {"name": "after"}})
print(len(objects.list("ConfigMap").items) == len(made) + 1)
"""


def test_a_full_disk_is_said_and_loses_nothing(tmp_path: Path) -> None:
    done = run(FULL_DISK, tmp_path / "home")
    assert done.stderr == ""
    said, *rest = done.stdout.splitlines()
    assert said.startswith("Unavailable True See that its folder is writable and its disk isn't")
    assert rest == ["True", "True"]
    assert is_whole(tmp_path / "home")


FORK = """
import os, sys, threading
from pathlib import Path
from kaptain_kfp.local.database import Database

database = Database(Path(sys.argv[1]))
ready, over = threading.Event(), threading.Event()

def other_thread():
    with database.read():
        ready.set()
        over.wait()

thread = threading.Thread(target=other_thread)
thread.start()
ready.wait()

def work(word):
    for number in range(50):
        with database.write() as connection:
            connection.execute("INSERT INTO facts VALUES (?, ?)", [f"{word}{number}", number])

child = os.fork()
work("child" if child == 0 else "parent")
if child == 0:
    os._exit(0)
code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
work("later")
over.set()
thread.join()
sys.exit(code)
"""


def test_a_fork_while_another_thread_reads(tmp_path: Path) -> None:
    done = run(FORK, tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    expected = {f"{word}{n}" for word in ("child", "parent", "later") for n in range(50)}
    assert set(names(Database(tmp_path))) == expected
    assert is_whole(tmp_path)


KILLED = """
import os, signal, sys
from pathlib import Path
from kaptain_kfp.local.database import Database

database = Database(Path(sys.argv[1]))
with database.write() as connection:
    connection.execute("PRAGMA cache_size = 5")
    connection.execute("DELETE FROM facts")
    for number in range(5000):
        connection.execute("INSERT INTO facts VALUES (?, ?)", [f"half {number:050}", number])
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_process_leaves_a_whole_database(tmp_path: Path) -> None:
    database = Database(tmp_path)
    for number in range(100):
        put(database, f"kept {number}")
    done = run(KILLED, tmp_path)
    assert done.returncode == -signal.SIGKILL
    # Its unfinished work had reached the disk.
    assert Path(f"{database.path}-wal").stat().st_size > 100_000 or on_network(tmp_path)
    assert len(names(database)) == 100
    assert is_whole(tmp_path)
    put(Database(tmp_path), "after")
    assert len(names(database)) == 101
