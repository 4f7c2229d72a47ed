from __future__ import annotations

from typing import Any

import pytest

from kaptain_kfp.model.room import shortages

POD: dict[str, Any] = {
    "spec": {"containers": [{"resources": {"requests": {"cpu": "500m", "memory": "1Gi"}}}]}
}


def quota(hard: dict[str, str], used: dict[str, str] | None = None, **more: Any) -> dict[str, Any]:
    status = {} if used is None else {"status": {"hard": hard, "used": used}}
    return {"metadata": {"name": "q"}, "spec": {"hard": hard, **more}, **status}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (quota({"requests.cpu": "1"}, {"requests.cpu": "0"}), ""),
        (quota({"cpu": "1"}, {"cpu": "1m"}), "cpu (1m of 1 are used)"),
        (quota({"requests.memory": "2Gi", "pods": "9"}, {"requests.memory": "512Mi"}), "512Mi"),
        (quota({"pods": "1"}), "pods (0 of 1 are used)"),
        (quota({"limits.cpu": "0", "count/jobs.batch": "0"}), ""),
        (quota({"pods": "0"}, scopes=["BestEffort"]), ""),
    ],
)
def test_room_for_two(given: dict[str, Any], words: str) -> None:
    found = list(shortages([given], POD, 2))
    assert len(found) == bool(words)
    assert all(words in error.message for error in found)


def test_each_quota_is_told() -> None:
    found = list(shortages([quota({"pods": "1"}), quota({"cpu": "0"})], POD, 3))
    assert [error.resource for error in found] == ["ResourceQuota/q"] * 2
