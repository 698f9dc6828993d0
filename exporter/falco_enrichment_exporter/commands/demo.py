"""A synthetic Falco of three hosts that degrades and heals within a minute, for people who have no Falco at hand.

It writes a log as Falco does, and the exporter follows that log as it follows any other: nothing else is special.
"""

import asyncio
import json
import random
import tempfile
import time
from pathlib import Path
from typing import Any, Final, Self

import aiofiles

TICK_SECONDS: Final = 2
CYCLE_TICKS: Final = 30  # one minute: everything degrades and heals once
PAST_TICKS: Final = 4  # written at once, so that there are intervals to show from the start
TABLE_SIZE: Final = 262144
RUNTIME_LOST: Final = range(8, 20)
TABLE_FULL: Final = range(14, 22)
RESTART_TICK: Final = 24
RELOAD_TICK: Final = 27
SEED: Final = 1

Fields = dict[str, Any]


class SyntheticHost:
    """One host: counters that grow at a plausible rate; subclasses say what goes wrong when."""

    name = "demo-healthy"
    version = "0.44.1"

    def __init__(self, now_ns: int) -> None:
        self.random = random.Random(f"{self.name}{SEED}")  # noqa: S311  not a secret
        self.boot_ns = now_ns - 40 * 86400 * 10**9
        self.start_ns = now_ns - 3 * 86400 * 10**9
        self.reload_ns = self.start_ns - 5 * 10**6
        self.counters: dict[str, int] = {}
        self.threads = 1800

    def snapshot(self, tick: int, at_ns: int) -> Fields:
        """Advance by one tick of the metrics timer; return the snapshot's fields."""
        self.act(tick % CYCLE_TICKS, at_ns)
        previous = dict(self.counters)
        self._work()
        self.degrade(tick % CYCLE_TICKS)
        fields: Fields = {
            "evt.hostname": self.name, "evt.source": "syscall", "evt.time": at_ns, "falco.version": self.version,
            "falco.start_ts": self.start_ns, "falco.reload_ts": self.reload_ns, "falco.host_boot_ts": self.boot_ns,
            "falco.duration_sec": (at_ns - self.start_ns) // 10**9, "falco.host_num_cpus": 8,
            "falco.kernel_release": "6.1.0-56-cloud-amd64", "scap.engine_name": "modern_bpf",
            "falco.num_evts_prev": previous.get("falco.num_evts", 0), "scap.n_evts_prev": previous.get("scap.n_evts", 0),
            "falco.cpu_usage_perc": round(self.random.uniform(2, 4), 1), "falco.memory_rss_mb": round(self.random.uniform(88, 92), 1),
            "falco.n_threads": self.threads, "falco.n_fds": self.threads * 12, "plugins.container.n_containers": self.containers(tick % CYCLE_TICKS),
        }  # fmt: skip
        forced = ("scap.n_evts", "scap.n_drops", "falco.num_evts", "falco.rules.matches_total")
        return fields | {key: n for key, n in self.counters.items() if n or key in forced}

    def act(self, step: int, at_ns: int) -> None:
        """Do what happens to Falco itself at this step: here, a hot reload a minute."""
        if step == RELOAD_TICK:
            self.reload_ns = at_ns
            self.counters.clear()

    def degrade(self, step: int) -> None:
        """Let go wrong what goes wrong at this step: here, nothing."""

    def containers(self, step: int) -> int:
        """Return the number of containers known."""
        return 14 + step % 2

    def alert(self, at_ns: int, step: int) -> Fields:  # noqa: ARG002  subclasses look at the step
        """Return the output_fields of an ordinary alert."""
        return {
            "container.id": "4f1a2b3c4d5e", "container.image.repository": "docker.io/library/nginx", "container.name": "web",
            "evt.time": at_ns, "k8s.ns.name": "shop", "k8s.pod.name": "web-7d9c6c5b8-x2x4z", "proc.cmdline": "sh -c id",
            "proc.name": "sh", "proc.pname": "containerd-shim", "user.loginname": "<NA>", "user.loginuid": -1, "user.name": "www-data", "user.uid": 33,
        }  # fmt: skip

    def grow(self, key: str, low: int, high: int) -> None:
        """Let a counter grow by a random number."""
        self.counters[key] = self.counters.get(key, 0) + self.random.randint(low, high)

    def _work(self) -> None:
        for key, low, high in (
            ("scap.n_evts", 60_000, 80_000), ("scap.n_drops", 0, 0), ("falco.num_evts", 50_000, 60_000),
            ("falco.n_cached_thread_lookups", 80_000, 90_000), ("falco.n_noncached_thread_lookups", 20_000, 24_000),
            ("falco.n_failed_thread_lookups", 100, 400), ("falco.n_cached_fd_lookups", 30_000, 36_000),
            ("falco.n_noncached_fd_lookups", 12_000, 14_000), ("falco.n_failed_fd_lookups", 9_000, 12_000),
            ("falco.n_stored_evts", 9_000, 11_000), ("falco.n_retrieved_evts", 8_000, 9_000),
            ("falco.n_retrieve_evts_drops", 500, 700), ("falco.n_added_threads", 300, 400),
            ("falco.n_removed_threads", 300, 400), ("falco.n_added_fds", 5_000, 6_000), ("falco.n_removed_fds", 4_000, 5_000),
            ("falco.rules.matches_total", 1, 3), ("falco.rules.Terminal_shell_in_container", 1, 3),
        ):  # fmt: skip
            self.grow(key, low, high)


class RuntimeLostHost(SyntheticHost):
    """Its container runtime stops answering for 24 seconds: containers start without an image."""

    name = "demo-runtime-lost"
    version = "0.43.1"

    def act(self, step: int, at_ns: int) -> None:
        """Reload nothing."""

    def degrade(self, step: int) -> None:
        """Count image-less containers while the runtime is away."""
        if step in RUNTIME_LOST:
            self.grow("plugins.container.n_missing_container_images", 2, 5)

    def alert(self, at_ns: int, step: int) -> Fields:
        """Know the container's id and nothing else about it while the runtime is away."""
        fields = super().alert(at_ns, step)
        unknown = ("container.image.repository", "container.name", "k8s.ns.name", "k8s.pod.name")
        return fields | dict.fromkeys(unknown) if step in RUNTIME_LOST else fields


class TableFullHost(SyntheticHost):
    """Its thread table fills up, events are lost, and Falco is restarted."""

    name = "demo-table-full"

    def act(self, step: int, at_ns: int) -> None:
        """Restart once a minute."""
        if step == RESTART_TICK:
            self.start_ns, self.reload_ns = at_ns, at_ns - 5 * 10**6
            self.counters.clear()

    def degrade(self, step: int) -> None:
        """Fill the table; once it is full, refuse threads and lose what depends on them."""
        share = min((step + 2) / TABLE_FULL.start, 1) if step < RESTART_TICK else 0.01
        self.threads = int(TABLE_SIZE * share)
        if step in TABLE_FULL:
            self.grow("falco.n_drops_full_threadtable", 400, 900)
            self.grow("falco.n_store_evts_drops", 600, 1_200)
            self.grow("falco.n_failed_thread_lookups", 12_000, 20_000)
            self.grow("scap.n_drops", 300, 4_000)
            self.grow("falco.outputs_queue_num_drops", 0, 2)

    def alert(self, at_ns: int, step: int) -> Fields:
        """Know nothing of the process while the table is full."""
        fields = super().alert(at_ns, step)
        return (
            fields | {"proc.name": "<NA>", "proc.cmdline": "<NA>", "proc.pname": None} if step in TABLE_FULL else fields
        )


class SyntheticFalco:
    """The three hosts and the log they write into; a context manager, because the log is temporary."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="falco-demo-")
        self.log = Path(self._folder.name) / "falco.jsonl"
        now_ns = time.time_ns()
        self._hosts = (SyntheticHost(now_ns), RuntimeLostHost(now_ns), TableFullHost(now_ns))
        self._tick = 0
        past = [now_ns - (PAST_TICKS - tick) * TICK_SECONDS * 10**9 for tick in range(PAST_TICKS)]
        self.log.write_bytes(b"".join(self._next_lines(at_ns) for at_ns in past))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()

    @property
    def settings(self) -> dict[str, Any]:
        """Settings that follow the synthetic log; flags and environment still win."""
        return {"source": {"paths": [str(self.log)], "poll_interval": "250ms"}, "state": {"directory": ""}}

    async def run(self) -> None:
        """Write a snapshot of every host, and some alerts, at every tick."""
        async with aiofiles.open(self.log, "ab") as log:
            while True:
                await asyncio.sleep(TICK_SECONDS)
                await log.write(self._next_lines(time.time_ns()))
                await log.flush()

    def _next_lines(self, at_ns: int) -> bytes:
        lines = [line for host in self._hosts for line in _host_lines(host, self._tick, at_ns)]
        self._tick += 1
        return "".join(json.dumps(line, sort_keys=True, separators=(",", ":")) + "\n" for line in lines).encode()


def _host_lines(host: SyntheticHost, tick: int, at_ns: int) -> list[Fields]:
    moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at_ns // 10**9)) + f".{at_ns % 10**9:09d}Z"
    envelope = {"hostname": host.name, "time": moment}
    snapshot = {
        "output": "Falco metrics snapshot", "output_fields": host.snapshot(tick, at_ns), "priority": "Informational",
        "rule": "Falco internal: metrics snapshot", "source": "internal",
    }  # fmt: skip
    alert = {
        "output": f"{moment}: Notice A shell was spawned in a container", "priority": "Notice", "source": "syscall",
        "output_fields": host.alert(at_ns, tick % CYCLE_TICKS), "rule": "Terminal shell in container", "tags": ["container", "shell"],
    }  # fmt: skip
    return [envelope | snapshot, *[envelope | alert] * host.random.randint(6, 10)]
