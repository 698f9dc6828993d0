"""Whether Falco sees the host: /proc, /etc and the runtimes' sockets under HOST_ROOT."""

import re
from collections.abc import Iterator
from typing import Final

from falco_enrichment_exporter.doctor.containers import CRI_SOCKETS, DEFAULT_SOCKETS, Engine, engines
from falco_enrichment_exporter.doctor.facts import Facts
from falco_enrichment_exporter.doctor.finding import Finding, Severity

ELSEWHERE: Final = (
    "/run/k0s/containerd.sock",
    "/var/snap/microk8s/common/run/containerd.sock",
    "/var/vcap/sys/run/containerd/containerd.sock",
    "/run/dockershim.sock",
    "/run/cri-dockerd.sock",
)
"""Sockets of runtimes that Falco does not look at by itself: k0s, MicroK8s, TKGI, Bottlerocket, cri-dockerd."""
_DIRECTORIES: Final = {
    "sss": "SSSD",
    "ldap": "LDAP",
    "winbind": "Active Directory",
    "nis": "NIS",
    "oslogin": "OS Login",
}


def check_mounts(facts: Facts) -> Iterator[Finding]:
    """Look at the host's files."""
    facts.not_checked.append(
        "the mounts, environment and rights of Falco's own container (HOST_ROOT, hostPID, FALCO_CGROUP_MEM_PATH,"
        " AppArmor): see its manifest"
    )
    root = facts.host.root
    if not root.is_dir():
        yield Finding("host_root_missing", Severity.CRITICAL, "The host's root is not there", f"HOST_ROOT={root}",
                      "all that Falco reads of the host: processes, users, runtimes",
                      f"Mount the host's /proc, /etc and sockets under {root}")  # fmt: skip
        return
    yield from _check_proc(facts)
    yield from _check_users(facts)
    yield from _check_sockets(facts)


def _check_proc(facts: Facts) -> Iterator[Finding]:
    proc = facts.host.path("/proc")
    if not proc.is_dir() or not any(proc.iterdir()):
        yield Finding("proc_missing", Severity.CRITICAL, "Falco does not see the host's processes",
                      f"{proc} is {'empty' if proc.is_dir() else 'not there'}",
                      "proc.*, proc.pname and proc.aname of all that ran before Falco, container.id, and users of containers",
                      f"Mount /proc at {proc} and set HOST_ROOT={facts.host.root}; in Kubernetes set hostPID: true")  # fmt: skip


def _check_users(facts: Facts) -> Iterator[Finding]:
    missing = [path for path in ("/etc/passwd", "/etc/group") if not (facts.host.text(path) or "").strip()]
    if missing:
        yield Finding("etc_missing", Severity.WARNING, "Falco does not see the host's users and groups",
                      f"no {' and no '.join(str(facts.host.path(path)) for path in missing)}",
                      "user.name, user.loginname, user.homedir, user.shell and group.name of processes of the host",
                      f"Mount /etc at {facts.host.path('/etc')} and set HOST_ROOT={facts.host.root}")  # fmt: skip
    switch = re.search(r"^passwd:(.*)$", facts.host.text("/etc/nsswitch.conf") or "", re.MULTILINE)
    services = [_DIRECTORIES[word] for word in re.findall(r"\w+", switch[1]) if word in _DIRECTORIES] if switch else []
    if services:
        yield Finding("directory_users", Severity.INFO, "Some users are in no file",
                      f"passwd: {switch[1].strip() if switch else ''} in {facts.host.path('/etc/nsswitch.conf')}",
                      f"user.name and user.loginname of users of {', '.join(services)}: Falco reads /etc/passwd only",
                      "Nothing helps: take it for granted with --objectives.user-name, or write rules by user.uid")  # fmt: skip


def _check_sockets(facts: Facts) -> Iterator[Finding]:
    on = [engine for engine in engines(facts) if engine.is_on]
    asked = [path for engine in on for path in engine.sockets]
    known = {*CRI_SOCKETS, *(path for paths in DEFAULT_SOCKETS.values() for path in paths), *ELSEWHERE}
    there = {path for path in {*asked, *known} if facts.host.path(path).exists()}
    for path in sorted(path for path in there if facts.host.path(path).is_dir()):
        yield Finding("socket_is_a_folder", Severity.CRITICAL, "A folder is where the runtime's socket should be",
                      f"{facts.host.path(path)}: made for a mount whose source was not there",
                      "container.image*, container.name and k8s.*", "Remove it and mount the socket that the runtime has")  # fmt: skip
    reached = there & set(asked)
    if on and not reached:
        yield from _unreached(facts, asked, sorted(there))
    elif on:
        yield from _check_named(facts, on, reached)
    strangers = sorted((there & set(ELSEWHERE)) - set(asked))
    if strangers and reached:
        yield Finding("socket_not_asked", Severity.WARNING, "There is a runtime that Falco does not ask",
                      f"{', '.join(strangers)} under {facts.host.root}",
                      "container.image*, container.name and k8s.* of its containers",
                      "Add the path to the sockets of the cri engine")  # fmt: skip


def _unreached(facts: Facts, asked: list[str], there: list[str]) -> Iterator[Finding]:
    if not there and not facts.host.is_told:
        facts.not_checked.append("sockets: there is no container runtime here, as on a host without containers")
        return
    others = f"; there is {', '.join(there)}" if there else ""
    yield Finding("socket_missing", Severity.CRITICAL, "Falco reaches no container runtime",
                  f"none of {', '.join(asked)} under {facts.host.root}{others}",
                  "container.image*, container.name and k8s.* of every alert from a container; container.id stays",
                  f"Mount the runtime's socket under {facts.host.root}, and name it in the sockets of its engine")  # fmt: skip


def _check_named(facts: Facts, on: list[Engine], reached: set[str]) -> Iterator[Finding]:
    for engine in on:
        lost = [path for path in engine.sockets if path not in reached]
        if engine.are_named and len(lost) == len(engine.sockets) and not set(lost) & set(DEFAULT_SOCKETS[engine.name]):
            yield Finding("named_socket_missing", Severity.WARNING, f"The {engine.name} engine has no socket",
                          f"{', '.join(lost)}: not under {facts.host.root}",
                          "container.image*, container.name and k8s.* of that runtime's containers",
                          f"Mount the socket under {facts.host.root}, or switch the {engine.name} engine off")  # fmt: skip
