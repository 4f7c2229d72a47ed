"""What tests of the training-side helpers share: a job's environment, and a bucket to write to."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from kaptain_kfp.testing.s3 import S3Server, isolate_aws, serve_s3

JOB_VARIABLES = (
    *("TRAINED_MODEL_UPLOAD_PATH", "KAPTAIN_FRAMEWORK", "RANK", "TF_CONFIG"),
    *("PET_NODE_RANK", "JOB_COMPLETION_INDEX"),
)


@pytest.fixture
def outside_of_jobs(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in JOB_VARIABLES:
        monkeypatch.delenv(name, raising=False)


@dataclass(frozen=True)
class Bucket:
    """The bucket ``models`` of a real server."""

    server: S3Server
    folder: Path

    @property
    def objects(self) -> dict[str, bytes]:
        """What lies in it, by key."""
        return {
            path.relative_to(self.folder).as_posix(): path.read_bytes()
            for path in self.folder.rglob("*")
            if path.is_file()
        }


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bucket]:
    """A bucket that the environment names as a job's would."""
    isolate_aws(monkeypatch)
    with serve_s3(tmp_path / "s3", "models") as server:
        for name, value in server.provider().get_secret_body().items():
            monkeypatch.setenv(name, value)
        yield Bucket(server, server.folder / "models")
