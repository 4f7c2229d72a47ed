from __future__ import annotations

import itertools

import pytest

from kaptain_kfp.local.kinds import KINDS
from kaptain_kfp.manifests import rbac
from kaptain_kfp.manifests.names import LABEL_MANAGED_BY, MANAGED_BY

PLURALS = {(kind.group, kind.plural) for kind in KINDS} | {("", "pods/log")}
VERBS = {"create", "delete", "get", "list", "patch", "update", "watch"}


def covered(party: rbac.Party) -> set[tuple[str, str, str]]:
    return {
        triple
        for rule in rbac.rules(party)
        for triple in itertools.product(rule["apiGroups"], rule["resources"], rule["verbs"])
    }


@pytest.mark.parametrize("party", rbac.PARTIES)
def test_a_role_allows_what_the_table_says_and_nothing_else(party: rbac.Party) -> None:
    assert covered(party) == {
        (right.group, right.resource, verb)
        for right in rbac.RIGHTS
        if right.party == party
        for verb in right.verbs
    }


def test_the_table_is_well_formed() -> None:
    for right in rbac.RIGHTS:
        assert (right.group, right.resource) in PLURALS
        assert set(right.verbs) <= VERBS and list(right.verbs) == sorted(set(right.verbs))
    named = [(right.party, right.name) for right in rbac.RIGHTS]
    assert len(named) == len(set(named))


def test_steps_see_no_secrets() -> None:
    assert not any(resource == "secrets" for _, resource, _ in covered("steps"))


def test_a_role() -> None:
    made = rbac.role("steps", "team-a")
    assert (made["apiVersion"], made["kind"]) == ("rbac.authorization.k8s.io/v1", "Role")
    assert made["metadata"] == {
        "name": "kaptain-kfp-steps",
        "namespace": "team-a",
        "labels": {LABEL_MANAGED_BY: MANAGED_BY},
    }


def test_a_binding() -> None:
    made = rbac.role_binding("notebook", "team-a", ["default-editor", "ci"])
    assert made["kind"] == "RoleBinding"
    assert made["roleRef"] == {
        "apiGroup": "rbac.authorization.k8s.io",
        "kind": "Role",
        "name": "kaptain-kfp-notebook",
    }
    assert made["subjects"] == [
        {"kind": "ServiceAccount", "name": "default-editor", "namespace": "team-a"},
        {"kind": "ServiceAccount", "name": "ci", "namespace": "team-a"},
    ]
