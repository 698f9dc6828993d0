"""Whether Falco keeps its process table: the table's size, the system calls that fill it, the buffers before it."""

from collections.abc import Iterator
from typing import Final

from falco_enrichment_exporter.doctor.facts import Facts
from falco_enrichment_exporter.doctor.finding import Finding, Severity, yaml_of

TABLE_SIZE: Final = 262144
_NEEDED: Final = (
    (Severity.CRITICAL, "proc.*, proc.pname, proc.aname and container.id of new processes; exited ones stay in the table",
     ("clone", "clone3", "fork", "vfork", "execve", "execveat", "procexit")),
    (Severity.WARNING, "user.* and group.* after a change of user, as by sudo",
     ("setuid", "setgid", "setresuid", "setresgid")),
    (Severity.INFO, "proc.sid, proc.sname, proc.pgid.* and proc.cwd", ("setsid", "setpgid", "chdir", "fchdir")),
    (Severity.INFO, "fd.*: closed descriptors stay known under old names", ("close",)),
)  # fmt: skip
"""The calls that keep the state true, worst first. Source: falco.yaml, base_syscalls; libs sinsp_state_sc_set."""
_PRESET: Final = 4
_LARGEST_PRESET: Final = 10
_CPUS: Final = 2
_TIMEOUTS: Final = (60, 1800)
"""What keeps idle threads (libs scanned every 1200 s for 1800 s old ones before 0.42), and still forgets dead ones."""
_PURGING: Final = "falco_libs.thread_table_auto_purging_"


def check_state(facts: Facts) -> Iterator[Finding]:
    """Look at the process table and at what feeds it."""
    yield from _check_table(facts)
    yield from _check_purging(facts)
    yield from _check_syscalls(facts)
    yield from _check_engine(facts)


def _check_table(facts: Facts) -> Iterator[Finding]:
    size, where = facts.config.number("falco_libs.thread_table_size"), facts.config.where("falco_libs")
    if size is None:
        return
    told = facts.config.told("falco_libs.thread_table_size", str(TABLE_SIZE))
    if not facts.is_since(0, 38):
        yield Finding("table_size_ignored", Severity.WARNING, "This Falco's thread table has a fixed size", told,
                      "the setting: before 0.38 the table holds 131072 threads",
                      "Upgrade Falco to 0.38 or later")  # fmt: skip
    elif 0 < size < TABLE_SIZE:
        yield Finding("table_small", Severity.WARNING, "The thread table is smaller than Falco ships it", told,
                      "proc.*, proc.pname, proc.aname and container.id of the threads that do not fit:"
                      " falco.n_drops_full_threadtable grows",
                      f"Set thread_table_size in the falco_libs block of {where} to {TABLE_SIZE} or more, and tell the"
                      " exporter with --source.thread-table-size",
                      yaml_of("falco_libs.thread_table_size", TABLE_SIZE))  # fmt: skip


def _check_purging(facts: Facts) -> Iterator[Finding]:
    least, most = _TIMEOUTS
    for name in ("interval_s", "thread_timeout_s"):
        value, told = facts.config.number(_PURGING + name), facts.config.told(_PURGING + name, "300")
        if value is None or least <= value <= most:
            continue
        if not facts.is_since(0, 42):
            continue
        harm = (
            "proc.* of idle processes, which are forgotten while they live: lookups fail"
            if value < least
            else "room in the thread table, which dead threads keep: it fills"
        )
        yield Finding(f"purging_{name.removesuffix('_s')}", Severity.WARNING,
                      f"Dead threads are removed too {'eagerly' if value < least else 'late'}", told, harm,
                      f"Set {_PURGING.partition('.')[2]}{name} in the falco_libs block of {facts.config.where('falco_libs')}",
                      yaml_of(_PURGING + name, 300))  # fmt: skip
    if not facts.is_since(0, 42) and facts.config.value(_PURGING + "interval_s") is not None:
        yield Finding("purging_ignored", Severity.INFO, "This Falco removes dead threads at its own pace",
                      facts.config.told(_PURGING + "interval_s", "300"), "the setting: before 0.42 it is 1200 s",
                      "Upgrade Falco to 0.42 or later")  # fmt: skip


def _check_syscalls(facts: Facts) -> Iterator[Finding]:
    config = facts.config
    chosen = [str(item) for item in config.items("base_syscalls.custom_set")]
    if not chosen or config.flag("base_syscalls.repair", default=False):
        return
    positive = {name for name in chosen if not name.startswith("!")}
    banned = {name[1:] for name in chosen if name.startswith("!")}

    lost = [
        (severity, breaks, names)
        for severity, breaks, calls in _NEEDED
        if (names := [call for call in calls if call in banned or (positive and call not in positive)])
    ]
    if lost:
        where = config.where("base_syscalls")
        yield Finding("syscalls_missing", lost[0][0], "Falco does not follow system calls that it needs for its state",
                      f"base_syscalls.custom_set without {', '.join(name for *_, names in lost for name in names)} in {where}",
                      "; ".join(breaks for _, breaks, _ in lost),
                      f"Write the base_syscalls block of {where} so that Falco adds the calls that its state needs, or"
                      " add them to custom_set",
                      yaml_of("base_syscalls", {"custom_set": [], "repair": True}))  # fmt: skip


def _check_engine(facts: Facts) -> Iterator[Finding]:
    config, where = facts.config, facts.config.where("engine")
    kind = config.text("engine.kind", "kmod" if facts.is_since(0, 37) else "")
    if kind in ("nodriver", "replay"):
        yield Finding("engine_without_kernel", Severity.CRITICAL, "Falco takes no events of this host",
                      f"engine.kind: {kind} in {where}", "every alert and counter of the syscall source",
                      f"Set kind in the engine block of {where} to modern_ebpf", yaml_of("engine.kind", "modern_ebpf"))  # fmt: skip
    if kind in ("ebpf", "gvisor") and facts.is_since(0, 44):
        yield Finding("engine_removed", Severity.CRITICAL, "Falco does not start: the engine is no more",
                      f"engine.kind: {kind} in {where}, on Falco {facts.version}",
                      "everything: Falco ends with an error",
                      f"Set kind in the engine block of {where} to modern_ebpf", yaml_of("engine.kind", "modern_ebpf"))  # fmt: skip
    name = f"engine.{kind}.buf_size_preset" if facts.is_since(0, 37) else "syscall_buf_size_preset"
    preset = config.number(name)
    if preset is not None and not _PRESET <= preset <= _LARGEST_PRESET:
        is_small = preset < _PRESET
        yield Finding("buffers_small" if is_small else "buffers_impossible",
                      Severity.WARNING if is_small else Severity.CRITICAL,
                      "The kernel's buffers are smaller than Falco ships them" if is_small
                      else "Falco does not start: there is no such size of buffers",
                      config.told(name, str(_PRESET)),
                      "events, when many come at once: scap.n_drops_buffer_* grow, and every other field suffers",
                      f"Set buf_size_preset of {config.where(name)} to {_PRESET} (8 MB) or more, {_LARGEST_PRESET} at most",
                      yaml_of(name, _PRESET))  # fmt: skip
    cpus = config.number("engine.modern_ebpf.cpus_for_each_buffer")
    if kind == "modern_ebpf" and cpus is not None and (cpus > _CPUS or cpus == 0):
        yield Finding("buffers_shared", Severity.WARNING, "Many CPUs share a buffer",
                      config.told("engine.modern_ebpf.cpus_for_each_buffer", str(_CPUS)),
                      "events, when many come at once: scap.n_drops_buffer_* grow",
                      f"Set cpus_for_each_buffer in the engine block of {where} to {_CPUS} or 1",
                      yaml_of("engine.modern_ebpf.cpus_for_each_buffer", _CPUS))  # fmt: skip
    if config.flag(f"engine.{kind}.drop_failed_exit", default=False):
        yield Finding("failed_calls_dropped", Severity.INFO, "Failed system calls are left out",
                      config.told(f"engine.{kind}.drop_failed_exit", "false"),
                      "rules about failed attempts; falco.n_failed_fd_lookups counts otherwise",
                      f"Set drop_failed_exit in the engine block of {where} to false",
                      yaml_of(f"engine.{kind}.drop_failed_exit", False))  # fmt: skip
