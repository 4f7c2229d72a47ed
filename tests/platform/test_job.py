from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from kaptain_kfp.platform._job import is_chief, upload_path


def tf(kind: str, index: Any, **cluster: list[str]) -> str:
    return json.dumps({"cluster": cluster, "task": {"type": kind, "index": index}})


HOSTS = {"worker": ["a:1", "b:1"]}


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, True),
        ({"RANK": "0"}, True),
        ({"RANK": "1"}, False),
        ({"RANK": "0", "PET_NODE_RANK": "1"}, True),
        ({"RANK": "1", "TF_CONFIG": tf("chief", 0)}, False),
        ({"RANK": "", "PET_NODE_RANK": "1"}, False),
        ({"TF_CONFIG": tf("chief", 0, chief=["c:1"], **HOSTS)}, True),
        ({"TF_CONFIG": tf("master", 0, master=["c:1"], **HOSTS)}, True),
        ({"TF_CONFIG": tf("worker", 0, chief=["c:1"], **HOSTS)}, False),
        ({"TF_CONFIG": tf("worker", 0, master=["c:1"], **HOSTS)}, False),
        ({"TF_CONFIG": tf("worker", 0, **HOSTS)}, True),
        ({"TF_CONFIG": tf("worker", "0", **HOSTS)}, True),
        ({"TF_CONFIG": tf("worker", 1, **HOSTS)}, False),
        ({"TF_CONFIG": tf("ps", 0, **HOSTS)}, False),
        ({"TF_CONFIG": tf("evaluator", 0, **HOSTS)}, False),
        ({"TF_CONFIG": "{}"}, True),
        ({"TF_CONFIG": '{"cluster": null, "task": {"type": "worker", "index": 1}}'}, False),
        ({"TF_CONFIG": " ", "JOB_COMPLETION_INDEX": "2"}, False),
        ({"PET_NODE_RANK": "0"}, True),
        ({"PET_NODE_RANK": "1"}, False),
        ({"JOB_COMPLETION_INDEX": "0"}, True),
        ({"JOB_COMPLETION_INDEX": "1"}, False),
    ],
)
def test_exactly_one_replica_is_the_chief(environment: dict[str, str], expected: bool) -> None:
    assert is_chief(environment) is expected


@pytest.mark.parametrize(
    "environment",
    [{"TF_CONFIG": "{"}, {"TF_CONFIG": "[]"}, {"RANK": "first"}, {"PET_NODE_RANK": "x"}],
)
def test_what_cant_be_read_loses_no_model(
    environment: dict[str, str], log: pytest.LogCaptureFixture
) -> None:
    assert is_chief(environment) is True
    assert log.records


@pytest.mark.parametrize(
    ("value", "expected"),
    [("s3://b/k/", "s3://b/k"), ("/a b", "/a b"), ("", None), (" ", None), (None, None)],
)
def test_where_results_go(value: str | None, expected: str | None) -> None:
    assert upload_path({} if value is None else {"TRAINED_MODEL_UPLOAD_PATH": value}) == expected


def test_logs_under_the_name_of_the_package() -> None:
    from kaptain_kfp import envs
    from kaptain_kfp.platform._job import LOG

    assert LOG is logging.getLogger(envs.LOGGER_NAME)
