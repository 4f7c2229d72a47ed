"""The Pod Security Standards: what a namespace's level forbids in a pod, in the server's words.

Pure functions. Of the level ``baseline`` those rules are here that our kinds of pods can break:
host namespaces, ports and paths, privileges, capabilities, seccomp; to these ``restricted`` adds
all of its own, but for pods of Windows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

__all__ = ["LEVELS", "enforced_level", "violations", "violations_text"]

PodSpec = Mapping[str, Any]
Check = Callable[[PodSpec], Iterator[str]]

_LABEL = "pod-security.kubernetes.io"
_DEFAULT_CAPABILITIES = frozenset(
    (
        *("AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD"),
        *("NET_BIND_SERVICE", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"),
    )
)
_VOLUMES = frozenset(
    (
        *("configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image"),
        *("persistentVolumeClaim", "projected", "secret"),
    )
)
_CONFINED = ("RuntimeDefault", "Localhost")


def enforced_level(namespace: Mapping[str, Any] | None, mode: str = "enforce") -> tuple[str, str]:
    """Returns the level that a namespace asks for and its version, e.g. ``restricted``, ``latest``.

    Args:
        namespace: The Namespace; None where there is no such object.
        mode: ``enforce``, or ``warn`` for what is only warned of.
    """
    labels = ((namespace or {}).get("metadata") or {}).get("labels") or {}
    level = labels.get(f"{_LABEL}/{mode}", "privileged")
    return level, labels.get(f"{_LABEL}/{mode}-version", "latest")


def violations_text(
    spec: PodSpec, namespace: Mapping[str, Any] | None, mode: str = "enforce"
) -> str:
    """Returns what a pod breaks of its namespace's level; empty where it fits.

    Args:
        spec: The pod's spec.
        namespace: The Namespace; None where there is no such object.
        mode: ``enforce``, or ``warn`` for what is only warned of.
    """
    level, version = enforced_level(namespace, mode)
    found = violations(spec, level)
    return f'violate PodSecurity "{level}:{version}": {", ".join(found)}' if found else ""


def violations(spec: PodSpec, level: str = "restricted") -> list[str]:
    """Returns what a pod breaks of a level, e.g. ``runAsNonRoot != true (pod or …)``.

    Args:
        spec: The pod's spec.
        level: ``privileged``, ``baseline`` or ``restricted``; an unknown one counts as the last, as
            it does for the server.
    """
    return [text for check in LEVELS.get(level, LEVELS["restricted"]) for text in check(spec)]


def _host_namespaces(spec: PodSpec) -> Iterator[str]:
    shared = [f"{key}=true" for key in ("hostNetwork", "hostPID", "hostIPC") if spec.get(key)]
    if shared:
        yield f"host namespaces ({', '.join(shared)})"


def _host_paths(spec: PodSpec) -> Iterator[str]:
    names = [volume["name"] for volume in spec.get("volumes") or () if "hostPath" in volume]
    if names:
        yield f"hostPath volumes ({_named('volume', names)})"


def _host_ports(spec: PodSpec) -> Iterator[str]:
    names, ports = [], []
    for container in _containers(spec):
        used = [str(p["hostPort"]) for p in container.get("ports") or () if p.get("hostPort")]
        ports += used
        names += [container["name"]] if used else []
    if names:
        use = "uses" if len(names) == 1 else "use"
        word = "hostPort" if len(ports) == 1 else "hostPorts"
        yield f"hostPort ({_named('container', names)} {use} {word} {', '.join(ports)})"


def _privileged(spec: PodSpec) -> Iterator[str]:
    names = _with(spec, lambda context: context.get("privileged"))
    if names:
        must_not = "must not set securityContext.privileged=true"
        yield f"privileged ({_named('container', names)} {must_not})"


def _default_capabilities(spec: PodSpec) -> Iterator[str]:
    if added := _added_capabilities(spec, _DEFAULT_CAPABILITIES):
        yield f"non-default capabilities ({added})"


def _no_escalation(spec: PodSpec) -> Iterator[str]:
    names = _with(spec, lambda context: context.get("allowPrivilegeEscalation") is not False)
    if names:
        who = _named("container", names)
        must = "must set securityContext.allowPrivilegeEscalation=false"
        yield f"allowPrivilegeEscalation != false ({who} {must})"


def _no_capabilities(spec: PodSpec) -> Iterator[str]:
    names = _with(spec, lambda context: "ALL" not in _capabilities(context, "drop"))
    troubles = []
    if names:
        must = 'must set securityContext.capabilities.drop=["ALL"]'
        troubles.append(f"{_named('container', names)} {must}")
    if added := _added_capabilities(spec, {"NET_BIND_SERVICE"}):
        troubles.append(added)
    if troubles:
        yield f"unrestricted capabilities ({'; '.join(troubles)})"


def _volume_types(spec: PodSpec) -> Iterator[str]:
    wrong = {
        volume["name"]: next(iter(volume.keys() - {"name"}), "unknown")
        for volume in spec.get("volumes") or ()
        if not _VOLUMES & volume.keys()
    }
    if wrong:
        use = "uses" if len(wrong) == 1 else "use"
        types = _named("restricted volume type", sorted(set(wrong.values())))
        yield f"restricted volume types ({_named('volume', list(wrong))} {use} {types})"


def _not_root(spec: PodSpec) -> Iterator[str]:
    of_pod = (spec.get("securityContext") or {}).get("runAsNonRoot")
    wrong = _with(spec, lambda context: context.get("runAsNonRoot") is False)
    silent = _with(spec, lambda context: context.get("runAsNonRoot") is None)
    must_not = "must not set securityContext.runAsNonRoot=false"
    troubles = [f"pod {must_not}"] if of_pod is False else []
    if wrong:
        troubles.append(f"{_named('container', wrong)} {must_not}")
    elif silent and of_pod is None:
        who = f"pod or {_named('container', silent)}"
        troubles.append(f"{who} must set securityContext.runAsNonRoot=true")
    if troubles:
        yield f"runAsNonRoot != true ({', '.join(troubles)})"


def _user(spec: PodSpec) -> Iterator[str]:
    troubles = []
    if (spec.get("securityContext") or {}).get("runAsUser") == 0:
        troubles.append("pod must not set runAsUser=0")
    if names := _with(spec, lambda context: context.get("runAsUser") == 0):
        troubles.append(f"{_named('container', names)} must not set runAsUser=0")
    if troubles:
        yield f"runAsUser=0 ({', '.join(troubles)})"


def _seccomp(spec: PodSpec, *, needed: bool) -> Iterator[str]:
    of_pod = _profile(spec.get("securityContext") or {})
    allowed = (None, *_CONFINED)
    must_not = "must not set securityContext.seccompProfile.type to"
    troubles = []
    if of_pod not in allowed:
        troubles.append(f'pod {must_not} "{of_pod}"')
    wrong = {c["name"]: p for c in _containers(spec) if (p := _profile(_context(c))) not in allowed}
    if wrong:
        types = ", ".join(f'"{word}"' for word in sorted({str(word) for word in wrong.values()}))
        troubles.append(f"{_named('container', list(wrong))} {must_not} {types}")
    silent = _with(spec, lambda context: _profile(context) is None)
    if needed and not troubles and silent and of_pod is None:
        who = f"pod or {_named('container', silent)}"
        must = 'must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"'
        troubles.append(f"{who} {must}")
    if troubles:
        yield f"seccompProfile ({', '.join(troubles)})"


def _seccomp_baseline(spec: PodSpec) -> Iterator[str]:
    return _seccomp(spec, needed=False)


def _seccomp_restricted(spec: PodSpec) -> Iterator[str]:
    return _seccomp(spec, needed=True)


def _containers(spec: PodSpec) -> list[Mapping[str, Any]]:
    """Returns all containers; what comes first is named first."""
    kinds = ("initContainers", "containers", "ephemeralContainers")
    return [container for kind in kinds for container in spec.get(kind) or ()]


def _context(container: Mapping[str, Any]) -> Mapping[str, Any]:
    return container.get("securityContext") or {}


def _with(spec: PodSpec, holds: Callable[[Mapping[str, Any]], object]) -> list[str]:
    """Returns the names of the containers of whose securityContext something holds."""
    return [c["name"] for c in _containers(spec) if holds(_context(c))]


def _capabilities(context: Mapping[str, Any], word: str) -> Sequence[str]:
    return (context.get("capabilities") or {}).get(word) or ()


def _added_capabilities(spec: PodSpec, allowed: set[str] | frozenset[str]) -> str:
    names, added = [], set()
    for container in _containers(spec):
        wrong = set(_capabilities(_context(container), "add")) - allowed
        added |= wrong
        names += [container["name"]] if wrong else []
    words = ", ".join(f'"{word}"' for word in sorted(added))
    who = _named("container", names)
    return f"{who} must not include {words} in securityContext.capabilities.add" if names else ""


def _profile(context: Mapping[str, Any]) -> str | None:
    return (context.get("seccompProfile") or {}).get("type")


def _named(word: str, names: Sequence[str]) -> str:
    plural = "" if len(names) == 1 else "s"
    return f"{word}{plural} " + ", ".join(f'"{name}"' for name in names)


_BASELINE: tuple[Check, ...] = (_host_namespaces, _host_ports, _privileged)
LEVELS: Mapping[str, tuple[Check, ...]] = {
    "privileged": (),
    "baseline": (
        _default_capabilities,
        *_BASELINE[:1],
        _host_paths,
        *_BASELINE[1:],
        _seccomp_baseline,
    ),
    "restricted": (
        *_BASELINE,
        *(_no_escalation, _no_capabilities, _volume_types, _not_root, _user, _seccomp_restricted),
    ),
}
"""Level → what it checks, in the order of the server's messages."""
