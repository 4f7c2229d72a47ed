"""The Pod Security Standards: what a namespace's level forbids in a pod, in the server's words.

Pure functions, with all rules of the newest version. Servers that know fields for AppArmor write
what annotations say into them, so that only fields are looked at. What some versions allow to pods
of Windows, and to those with users of their own (``hostUsers: false``), isn't allowed here.
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
_SELINUX_TYPES = frozenset(
    ("", "container_t", "container_init_t", "container_kvm_t", "container_engine_t")
)
_SYSCTLS = frozenset(
    (
        "kernel.shm_rmid_forced",
        *("net.ipv4.ip_local_port_range", "net.ipv4.ip_local_reserved_ports"),
        *("net.ipv4.ip_unprivileged_port_start", "net.ipv4.ping_group_range"),
        *("net.ipv4.tcp_fin_timeout", "net.ipv4.tcp_keepalive_intvl"),
        *("net.ipv4.tcp_keepalive_probes", "net.ipv4.tcp_keepalive_time"),
        *("net.ipv4.tcp_rmem", "net.ipv4.tcp_syncookies", "net.ipv4.tcp_wmem"),
    )
)


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


def _app_armor(spec: PodSpec) -> Iterator[str]:
    def wrong(context: Mapping[str, Any]) -> bool:
        return _profile(context, "appArmorProfile") not in (None, *_CONFINED)

    if who := _setters(spec, wrong):
        found = {str(_profile(context, "appArmorProfile")) for context in _those(spec, wrong)}
        plural = "" if len(found) == 1 else "s"
        must_not = f"must not set AppArmor profile type to {_quoted(sorted(found))}"
        yield f"forbidden AppArmor profile{plural} ({who} {must_not})"


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


def _host_probes(spec: PodSpec) -> Iterator[str]:
    found = {c["name"]: hosts for c in _containers(spec) if (hosts := set(_hosts(c)))}
    if found:
        names = sorted(found)
        use = "uses" if len(names) == 1 else "use"
        what = _named("probe or lifecycle host", sorted(set().union(*found.values())))
        yield f"probe or lifecycle host ({_named('container', names)} {use} {what})"


def _hosts(container: Mapping[str, Any]) -> Iterator[str]:
    """Yields whom a container has the node's kubelet ask, other than itself."""
    lifecycle = container.get("lifecycle") or {}
    handlers = [lifecycle.get(moment) for moment in ("postStart", "preStop")]
    handlers += [container.get(f"{kind}Probe") for kind in ("liveness", "readiness", "startup")]
    for handler in filter(None, handlers):
        for action in ("httpGet", "tcpSocket"):
            if host := (handler.get(action) or {}).get("host"):
                yield host


def _privileged(spec: PodSpec) -> Iterator[str]:
    names = _with(spec, lambda context: context.get("privileged"))
    if names:
        must_not = "must not set securityContext.privileged=true"
        yield f"privileged ({_named('container', names)} {must_not})"


def _proc_mount(spec: PodSpec) -> Iterator[str]:
    allowed = (None, "Default")
    names = _with(spec, lambda context: context.get("procMount") not in allowed)
    if names:
        found = {c["procMount"] for c in map(_context, _containers(spec)) if "procMount" in c}
        types = _quoted(sorted(found.difference(allowed)))
        must_not = f"must not set securityContext.procMount to {types}"
        yield f"procMount ({_named('container', names)} {must_not})"


def _selinux(spec: PodSpec) -> Iterator[str]:
    def options(context: Mapping[str, Any]) -> Mapping[str, str]:
        return context.get("seLinuxOptions") or {}

    def wrong(context: Mapping[str, Any]) -> bool:
        found = options(context)
        custom = bool(found.get("user") or found.get("role"))
        return custom or found.get("type", "") not in _SELINUX_TYPES

    if who := _setters(spec, wrong):
        found = [options(context) for context in _those(spec, wrong)]
        types = sorted({one.get("type", "") for one in found} - _SELINUX_TYPES)
        what = [_named("type", types)] if types else []
        for key in ("user", "role"):
            what += [f"{key} may not be set"] if any(one.get(key) for one in found) else []
        forbidden = f"set forbidden securityContext.seLinuxOptions: {'; '.join(what)}"
        yield f"seLinuxOptions ({who} {forbidden})"


def _sysctls(spec: PodSpec) -> Iterator[str]:
    asked = _context(spec).get("sysctls") or ()
    names = [sysctl["name"] for sysctl in asked if sysctl["name"] not in _SYSCTLS]
    if names:
        yield f"forbidden sysctls ({', '.join(names)})"


def _windows_host_process(spec: PodSpec) -> Iterator[str]:
    def wrong(context: Mapping[str, Any]) -> bool:
        return bool((context.get("windowsOptions") or {}).get("hostProcess"))

    if who := _setters(spec, wrong):
        must_not = "must not set securityContext.windowsOptions.hostProcess=true"
        yield f"hostProcess ({who} {must_not})"


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
        types = _quoted(sorted({str(word) for word in wrong.values()}))
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


def _context(owner: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns the securityContext of a container, or of the whole pod."""
    return owner.get("securityContext") or {}


def _with(spec: PodSpec, holds: Callable[[Mapping[str, Any]], object]) -> list[str]:
    """Returns the names of the containers of whose securityContext something holds."""
    return [c["name"] for c in _containers(spec) if holds(_context(c))]


def _those(spec: PodSpec, holds: Callable[[Mapping[str, Any]], bool]) -> list[Mapping[str, Any]]:
    """Returns the securityContexts of which something holds, the pod's among them."""
    return [context for context in map(_context, (spec, *_containers(spec))) if holds(context)]


def _setters(spec: PodSpec, holds: Callable[[Mapping[str, Any]], bool]) -> str:
    """Returns in words whose securityContext something holds of; empty if nobody's."""
    names = _with(spec, holds)
    who = ["pod"] if holds(_context(spec)) else []
    return " and ".join([*who, _named("container", names)] if names else who)


def _capabilities(context: Mapping[str, Any], word: str) -> Sequence[str]:
    return (context.get("capabilities") or {}).get(word) or ()


def _added_capabilities(spec: PodSpec, allowed: set[str] | frozenset[str]) -> str:
    names, added = [], set()
    for container in _containers(spec):
        wrong = set(_capabilities(_context(container), "add")) - allowed
        added |= wrong
        names += [container["name"]] if wrong else []
    words = _quoted(sorted(added))
    who = _named("container", names)
    return f"{who} must not include {words} in securityContext.capabilities.add" if names else ""


def _profile(context: Mapping[str, Any], kind: str = "seccompProfile") -> str | None:
    return (context.get(kind) or {}).get("type")


def _named(word: str, names: Sequence[str]) -> str:
    plural = "" if len(names) == 1 else "s"
    return f"{word}{plural} {_quoted(names)}"


def _quoted(words: Sequence[str]) -> str:
    return ", ".join(f'"{word}"' for word in words)


LEVELS: Mapping[str, tuple[Check, ...]] = {
    "privileged": (),
    "baseline": (
        *(_app_armor, _default_capabilities, _host_namespaces, _host_paths, _host_ports),
        *(_host_probes, _privileged, _proc_mount, _selinux, _seccomp_baseline, _sysctls),
        _windows_host_process,
    ),
    "restricted": (
        *(_app_armor, _host_namespaces, _host_ports, _host_probes, _privileged, _proc_mount),
        *(_selinux, _sysctls, _windows_host_process),
        *(_no_escalation, _no_capabilities, _volume_types, _not_root, _user, _seccomp_restricted),
    ),
}
"""Level → what it checks, in the order of the server's messages."""
