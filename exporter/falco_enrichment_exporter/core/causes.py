"""What can be wrong with enrichment, in the order in which to look, and what to do about it on which Falco."""

from enum import StrEnum
from typing import Final

from falco_enrichment_exporter.core.catalog import Version


class Cause(StrEnum):
    """A cause, in the order of diagnosis: each one can make those behind it look broken."""

    STALE = "stale"
    EVENTS_LOST = "events_lost"
    TABLE_FULL = "table_full"
    STORE_DROPS = "store_drops"
    THREAD_LOOKUPS = "thread_lookups"
    CONTAINER_RUNTIME = "container_runtime"
    USER_MOUNTS = "user_mounts"
    OUTPUT_QUEUE = "output_queue"


ORDER: Final = {cause: place for place, cause in enumerate(Cause)}

TITLES: Final = {
    Cause.STALE: "Falco has stopped writing metrics snapshots",
    Cause.EVENTS_LOST: "the kernel drops events before Falco sees them",
    Cause.TABLE_FULL: "Falco's thread table is full, or nearly so",
    Cause.STORE_DROPS: "Falco does not know the threads that events come from",
    Cause.THREAD_LOOKUPS: "Falco does not find processes in its thread table",
    Cause.CONTAINER_RUNTIME: "Falco does not get container metadata from the runtime",
    Cause.USER_MOUNTS: "Falco does not see the host's users and groups",
    Cause.OUTPUT_QUEUE: "Falco drops alerts that have matched: its output queue is full",
}


class Pattern(StrEnum):
    """Which fields of containers are missing tells what is wrong with the runtime's answers."""

    NO_ANSWER = "id known, image, name and pod missing"
    NO_NAMES = "image known, name missing"
    NO_PODS = "image known, pod missing"
    SOME_CONTAINERS = "everything missing, for some containers only"


_WINDOW_SINCE: Final = (0, 41)
_WINDOW_UNTIL: Final = (0, 45)
_RACE_UNTIL: Final = (0, 38)
_PLUGIN_SINCE: Final = (0, 41)
_ENGINES_SINCE: Final = (0, 39)
_TABLE_SETTING_SINCE: Final = (0, 38)

_STEPS: Final = {
    Cause.STALE: (
        "See that Falco runs and that metrics.enabled and metrics.output_rule (or metrics.output_file) are set; an idle host"
        " writes no snapshot until an event comes. If this exporter lags, falco_enrichment_exporter_source_lag_bytes tells."
    ),
    Cause.EVENTS_LOST: (
        "Raise the buffers: engine.<kind>.buf_size_preset from 4 to 5 or 6 in falco.yaml; on many CPUs lower"
        " engine.modern_ebpf.cpus_for_each_buffer. Then look for what makes so many events, and for Falco's CPU limit."
    ),
    Cause.STORE_DROPS: (
        "Look at the thread table first. If it is not full, see that base_syscalls.custom_set, if set, has clone, clone3,"
        " fork, vfork, execve, execveat and procexit, or set base_syscalls.repair: true."
    ),
    Cause.THREAD_LOOKUPS: (
        "Give Falco the host's /proc: mount it at /host/proc, set HOST_ROOT=/host and hostPID: true. See that"
        " base_syscalls.custom_set, if set, has clone, clone3, fork, vfork, execve, execveat and procexit, and that no"
        ' AppArmor profile denies ptrace (dmesg: apparmor="DENIED" operation="ptrace").'
    ),
    Cause.USER_MOUNTS: (
        "Mount the host's /etc at /host/etc and set HOST_ROOT=/host: Falco reads passwd and group there. Users of a directory"
        " service (LDAP, OS Login) are in no file and cannot be named."
    ),
    Cause.OUTPUT_QUEUE: (
        "Find the slow output (http_output, program_output, syslog), fix or remove it, or raise outputs_queue.capacity."
    ),
}  # fmt: skip


def next_step(cause: Cause, version: Version | None, pattern: Pattern | None = None) -> str:
    """Say what to do on this version of Falco; None is taken for the newest."""
    if cause is Cause.TABLE_FULL:
        if version is not None and version < _TABLE_SETTING_SINCE:
            return "The table's size is fixed before Falco 0.38: upgrade, then set falco_libs.thread_table_size to twice 262144."
        return "Double falco_libs.thread_table_size (262144 by default), and look for what starts so many threads."
    if cause is Cause.CONTAINER_RUNTIME:
        return _runtime_step(version, pattern)
    return _STEPS[cause]


def _runtime_step(version: Version | None, pattern: Pattern | None) -> str:
    if pattern is Pattern.NO_NAMES:
        return (
            f"The containerd engine knows no names. Use the cri engine on the same socket: {_switch(version, 'cri')},"
            " and switch the containerd engine off."
        )
    if pattern is Pattern.NO_PODS:
        return (
            f"Something answers first that knows no pods, mostly docker: switch that engine off, and {_switch(version, 'cri')}"
            " with the kubelet's socket. On a host without Kubernetes take k8s.* out of the rules' outputs."
        )
    if pattern is Pattern.SOME_CONTAINERS and version is not None and _WINDOW_SINCE <= version < _WINDOW_UNTIL:
        return (
            "Falco 0.41 to 0.44 asks for a container for 150 ms and never again: update the container plugin to 0.7.3 or"
            " later. Until then a restart of Falco fetches all running containers anew."
        )
    if pattern is Pattern.SOME_CONTAINERS and version is not None and version < _RACE_UNTIL:
        return (
            "Before Falco 0.38 the first events of a container come before the runtime's answer: upgrade, or start Falco"
            " with --disable-cri-async."
        )
    return (
        "Mount the runtime's socket under HOST_ROOT (/host/run/containerd/containerd.sock, /host/run/crio/crio.sock,"
        f" /host/run/k3s/containerd/containerd.sock or your own path), and {_switch(version, 'cri')} with that path."
    )


def _switch(version: Version | None, engine: str) -> str:
    """Name the setting that chooses a container engine."""
    if version is None or version >= _PLUGIN_SINCE:
        return f"set engines.{engine} in the container plugin's init_config"
    if version >= _ENGINES_SINCE:
        return f"set container_engines.{engine}"
    return "start Falco with --cri and the socket's path"
