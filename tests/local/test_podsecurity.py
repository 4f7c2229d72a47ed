"""Pod Security Standards; the recorded texts of a real server are held to in conformance."""

from __future__ import annotations

from typing import Any

import pytest

from kaptain_kfp.local.podsecurity import violations, violations_text

FITS = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}


def pod(*contexts: dict[str, Any], **spec: Any) -> dict[str, Any]:
    containers = [
        {"name": "abc"[index], "securityContext": context} for index, context in enumerate(contexts)
    ]
    return {"containers": containers, **spec}


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        ({}, []),
        (
            {"allowPrivilegeEscalation": None},
            [
                'allowPrivilegeEscalation != false (container "a" must set '
                "securityContext.allowPrivilegeEscalation=false)"
            ],
        ),
        (
            {"capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE", "SYS_ADMIN"]}},
            [
                'unrestricted capabilities (container "a" must not include "SYS_ADMIN" in '
                "securityContext.capabilities.add)"
            ],
        ),
        (
            {"capabilities": {"add": ["CHOWN"]}},
            [
                'unrestricted capabilities (container "a" must set '
                'securityContext.capabilities.drop=["ALL"]; container "a" must not include '
                '"CHOWN" in securityContext.capabilities.add)'
            ],
        ),
        (
            {"runAsNonRoot": False},
            [
                'runAsNonRoot != true (container "a" must not set '
                "securityContext.runAsNonRoot=false)"
            ],
        ),
        ({"runAsUser": 0}, ['runAsUser=0 (container "a" must not set runAsUser=0)']),
        ({"runAsUser": 1000}, []),
        (
            {"seccompProfile": {"type": "Unconfined"}},
            [
                'seccompProfile (container "a" must not set securityContext.seccompProfile.type '
                'to "Unconfined")'
            ],
        ),
        (
            {"privileged": True},
            ['privileged (container "a" must not set securityContext.privileged=true)'],
        ),
    ],
)
def test_one_container(change: dict[str, Any], wrong: list[str]) -> None:
    assert violations(pod({**FITS, **change})) == wrong


BAD_SELINUX = {"type": "spc_t", "user": "u", "role": "r"}


@pytest.mark.parametrize(
    ("of_pod", "of_container", "wrong"),
    [
        (
            {"appArmorProfile": {"type": "Unconfined"}},
            {"appArmorProfile": {"type": "Other"}},
            'forbidden AppArmor profiles (pod and container "a" must not set AppArmor profile '
            'type to "Other", "Unconfined")',
        ),
        (
            {"appArmorProfile": {"type": "RuntimeDefault"}},
            {"appArmorProfile": {"type": "Localhost"}},
            None,
        ),
        (
            {"seLinuxOptions": {"type": "container_t", "level": "s0"}},
            {"seLinuxOptions": BAD_SELINUX},
            'seLinuxOptions (container "a" set forbidden securityContext.seLinuxOptions: type '
            '"spc_t"; user may not be set; role may not be set)',
        ),
        (
            {"seLinuxOptions": {"role": "r"}},
            {"seLinuxOptions": {"type": "container_engine_t"}},
            "seLinuxOptions (pod set forbidden securityContext.seLinuxOptions: role may not be "
            "set)",
        ),
        (
            {},
            {"procMount": "Unmasked"},
            'procMount (container "a" must not set securityContext.procMount to "Unmasked")',
        ),
        ({}, {"procMount": "Default"}, None),
        (
            {"sysctls": [{"name": "kernel.msgmax"}, {"name": "net.ipv4.tcp_rmem"}]},
            {},
            "forbidden sysctls (kernel.msgmax)",
        ),
        (
            {"windowsOptions": {"hostProcess": True}},
            {"windowsOptions": {"hostProcess": False}},
            "hostProcess (pod must not set securityContext.windowsOptions.hostProcess=true)",
        ),
    ],
)
def test_what_baseline_forbids_restricted_does_too(
    of_pod: dict[str, Any], of_container: dict[str, Any], wrong: str | None
) -> None:
    expected = [wrong] if wrong else []
    spec = pod({**FITS, **of_container}, securityContext=of_pod)
    assert violations(spec, "baseline") == violations(spec, "restricted") == expected
    assert violations(spec, "privileged") == []


@pytest.mark.parametrize("action", ["httpGet", "tcpSocket"])
@pytest.mark.parametrize(
    "place", ["livenessProbe", "readinessProbe", "startupProbe", "postStart", "preStop"]
)
def test_the_kubelet_is_sent_to_nobody_else(place: str, action: str) -> None:
    def spec(**host: str) -> dict[str, Any]:
        handler = {place: {action: {"port": 80, **host}}}
        made = pod(FITS)
        made["containers"][0] |= handler if place.endswith("Probe") else {"lifecycle": handler}
        return made

    wrong = 'probe or lifecycle host (container "a" uses probe or lifecycle host "169.254.169.254")'
    for level in ("baseline", "restricted"):
        assert violations(spec(host="169.254.169.254"), level) == [wrong]
        assert violations(spec(host=""), level) == violations(spec(), level) == []


def test_several_containers_are_named_together() -> None:
    no_drop = {**FITS, "capabilities": {}}
    assert violations(pod(no_drop, FITS, no_drop)) == [
        'unrestricted capabilities (containers "a", "c" must set '
        'securityContext.capabilities.drop=["ALL"])'
    ]


def test_the_pod_may_say_it_for_all() -> None:
    said = {"runAsNonRoot": True, "seccompProfile": {"type": "Localhost"}}
    silent = {key: FITS[key] for key in ("allowPrivilegeEscalation", "capabilities")}
    assert violations(pod(silent, securityContext=said)) == []
    assert violations(pod(silent, securityContext={"runAsUser": 0})) == [
        'runAsNonRoot != true (pod or container "a" must set securityContext.runAsNonRoot=true)',
        "runAsUser=0 (pod must not set runAsUser=0)",
        'seccompProfile (pod or container "a" must set securityContext.seccompProfile.type to '
        '"RuntimeDefault" or "Localhost")',
    ]


def test_volumes_and_the_host() -> None:
    volumes = [
        {"name": "fine", "emptyDir": {}},
        {"name": "h", "hostPath": {"path": "/"}},
        {"name": "n", "nfs": {}},
    ]
    spec = pod(FITS, hostNetwork=True, hostPID=True, volumes=volumes)
    spec["containers"][0]["ports"] = [{"hostPort": 80}, {"containerPort": 1}]
    host = [
        "host namespaces (hostNetwork=true, hostPID=true)",
        'hostPort (container "a" uses hostPort 80)',
    ]
    types = (
        'restricted volume types (volumes "h", "n" use restricted volume types "hostPath", "nfs")'
    )
    assert violations(spec) == [*host, types]
    assert violations(spec, "baseline") == [host[0], 'hostPath volumes (volume "h")', host[1]]
    assert violations(spec, "privileged") == []


def test_init_containers_count() -> None:
    assert (
        violations({**pod(FITS), "initContainers": [{"name": "i", "securityContext": FITS}]}) == []
    )
    assert len(violations({**pod(FITS), "initContainers": [{"name": "i"}]})) == 4


def test_the_namespace_says_the_level() -> None:
    labels = {
        "pod-security.kubernetes.io/enforce": "baseline",
        "pod-security.kubernetes.io/enforce-version": "v1.30",
        "pod-security.kubernetes.io/warn": "restricted",
    }
    namespace = {"metadata": {"labels": labels}}
    plain = pod({}, hostIPC=True)
    text = 'violate PodSecurity "baseline:v1.30": host namespaces (hostIPC=true)'
    assert violations_text(plain, namespace) == text
    assert violations_text(pod({}), namespace) == ""
    assert violations_text(pod({}), namespace, "warn").startswith(
        'violate PodSecurity "restricted:latest": allowPrivilegeEscalation != false'
    )
    assert violations_text(plain, None) == violations_text(plain, {"metadata": {}}) == ""
