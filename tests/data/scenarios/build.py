"""Write the scenario logs and expected.json: each log is what Falco would print on a node with the named fault.

``python tests/data/scenarios/build.py`` rewrites all of them. Nothing is random: nothing changes unless this file does.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

HOST = "n1"
SECOND = 10**9
MINUTE = 60
RUN = 45 * MINUTE
START = 1_790_000_000
BOOTED = START - 86_400
LIMIT = 262_144
DRIVERS = {"0.37.1": "bpf", "0.38.2": "modern_bpf", "0.40.0": "modern_bpf"}

Fields = dict[str, Any]
Fault = Callable[[Fields, int, float], None]

PODS = [
    ("3ad7b26ded6d", "mysql", "mysql", "mysql-0", "shop"),
    ("b0f1d9d6a5c2", "web", "nginx", "web-7dc9f5fbb8-gbfk7", "shop"),
    ("9c1e44b7a0f3", "api", "quay.io/shop/api", "api-6d4b75cb6d-hx9kq", "shop"),
    ("5d2a4b8d7f06", "proxy", "haproxy", "proxy-p2x8c", "edge"),
    ("8f14e45fceea", "batch", "quay.io/shop/batch", "batch-28734110-xk2lm", "jobs"),
    ("c4ca4238a0b9", "cache", "redis", "cache-0", "shop"),
    ("eccbc87e4b5c", "queue", "rabbitmq", "queue-0", "shop"),
    ("a87ff679a2f3", "app", "quay.io/acme/app", "app-5f6b9c-2kx7p", "prod"),
    ("e4da3b7fbbce", "dns", "registry.k8s.io/coredns/coredns", "coredns-576bfc4dc7-qk4tl", "kube-system"),
    ("1679091c5a88", "agent", "quay.io/acme/agent", "agent-7rk2v", "ops"),
]
IN_CONTAINERS = [("sh", "containerd-shim", "sh -c uptime"), ("bash", "sh", "bash -i")]
ON_HOST = [("cat", "sudo", "cat /etc/shadow"), ("vi", "bash", "vi /etc/sudoers")]


def stamp(at: float) -> str:
    """Return a time as Falco writes it."""
    return datetime.fromtimestamp(START + int(at), UTC).strftime("%Y-%m-%dT%H:%M:%S") + f".{nanos(at) % SECOND:09d}Z"


def nanos(at: float) -> int:
    """Return seconds after the start as Falco's nanoseconds, with digits beyond a float's."""
    return START * SECOND + int(at * 1000) * 1_000_000 + 296_887 + int(at) % 97


@dataclass
class Rates:
    """What happens in a minute of the node's life, and the levels that do not add up."""

    drops: float = 0.0
    failed_threads: float = 0.004
    store_drops: float = 0.0
    table_drops: int = 0
    threads: int = 1640


@dataclass
class Scenario:
    """One log: what it shows, and what a diagnosis of it must say."""

    causes: list[str]
    version: str = "0.44.1"
    rates: Rates = field(default_factory=Rates)
    faults: list[Fault] = field(default_factory=list)
    hosts: int = 3  # of ten alerts come from the host
    alerts_after: int = 0  # seconds of alerts after the last snapshot
    cached: int = len(PODS)  # containers that the plugin's cache holds; the ones it never learnt of are not in it
    state: bool = True
    output_fields: bool = True
    as_text: bool = False
    zeros: bool = False
    upgrade: tuple[int, str] | None = None
    not_judged: list[str] = field(default_factory=list)


def counters(version: str, rates: Rates, minutes: float, containers: int) -> Fields:
    """Return the counters after so many minutes of one life, for the groups that a version has."""
    events = int(4_800 * minutes)
    cached, found = int(3_600 * minutes), int(1_200 * minutes)
    stored = int((180 if minor(version) >= 42 else 2_200) * minutes)
    lost = 0 if minor(version) >= 42 else int(120 * minutes)
    counted = {
        "falco.n_added_fds": int(188 * minutes) + 1253,
        "falco.n_added_threads": int(16 * minutes) + 138,
        "falco.n_cached_fd_lookups": int(2_800 * minutes),
        "falco.n_cached_thread_lookups": cached,
        "falco.n_drops_full_threadtable": int(rates.table_drops * minutes),
        "falco.n_failed_fd_lookups": int(620 * minutes),
        "falco.n_failed_thread_lookups": int((cached + found) * rates.failed_threads) + 16,
        "falco.n_fds": 1807 + int(minutes) % 7,
        "falco.n_noncached_fd_lookups": int(1_000 * minutes),
        "falco.n_noncached_thread_lookups": found,
        "falco.n_removed_fds": int(186 * minutes),
        "falco.n_removed_threads": int(15 * minutes),
        "falco.n_retrieve_evts_drops": lost,
        "falco.n_retrieved_evts": stored - lost,
        "falco.n_store_evts_drops": int(stored * rates.store_drops),
        "falco.n_stored_evts": stored,
        "falco.n_threads": min(LIMIT, rates.threads + int(minutes) % 5),
        "falco.num_evts": events,
        "scap.n_evts": int(events / (1 - rates.drops) * 1.02),
    }
    counted["scap.n_drops"] = int(counted["scap.n_evts"] * rates.drops)
    where = "falco" if minor(version) <= 40 else "plugins.container"
    counted[f"{where}.n_containers"] = containers if minutes or where == "falco" else 0
    counted[f"{where}.n_missing_container_images"] = 0
    return counted


def minor(version: str) -> int:
    """Return the 44 of 0.44.1."""
    return int(version.split(".")[1])


def snapshot(scenario: Scenario, version: str, at: float, life: float) -> Fields:
    """Return the fields of a snapshot ``at`` seconds after the log's start, ``life`` into the process."""
    containers = len(PODS) if minor(version) <= 40 else scenario.cached
    now = counters(version, scenario.rates, life / MINUTE, containers)
    earlier = counters(version, scenario.rates, max(life - MINUTE, 0) / MINUTE, containers) if life else {}
    was = {name: int(earlier.get(name, 0)) for name in ("falco.num_evts", "scap.n_evts", "scap.n_drops")}
    if not scenario.state:
        now = {name: value for name, value in now.items() if not name.startswith("falco.n_")}
    if not scenario.zeros:
        now = {name: value for name, value in now.items() if value or name in was}
    events, dropped = now["scap.n_evts"] - was["scap.n_evts"], now["scap.n_drops"] - was["scap.n_drops"]
    started = nanos(at - life)
    fields: Fields = now | {
        "evt.source": "syscall",
        "evt.time": nanos(at),
        "falco.duration_sec": int(life),
        "falco.host_boot_ts": BOOTED * SECOND,
        "falco.host_num_cpus": 4,
        "falco.kernel_release": "6.1.0",
        "falco.num_evts_prev": was["falco.num_evts"],
        "falco.outputs_queue_num_drops": 0,
        "falco.start_ts": started,
        "falco.version": version,
        "scap.engine_name": DRIVERS.get(version, "modern_bpf"),
        "scap.evts_drop_rate_sec": round(dropped / MINUTE, 1),
        "scap.evts_rate_sec": round(events / MINUTE, 1),
        "scap.n_drops_perc": round(100 * dropped / events, 1) if events else 0.0,
        "scap.n_drops_prev": was["scap.n_drops"],
        "scap.n_evts_prev": was["scap.n_evts"],
    }
    fields["falco.hostname" if minor(version) <= 37 else "evt.hostname"] = HOST
    if was["falco.num_evts"]:
        fields["falco.evts_rate_sec"] = round((fields["falco.num_evts"] - was["falco.num_evts"]) / MINUTE, 1)
    if minor(version) >= 41:
        fields["falco.reload_ts"] = started - 3_184_868_970
    if now["scap.n_drops"]:
        part = int(now["scap.n_drops"] * 0.4)
        fields["scap.n_drops_buffer_total"] = now["scap.n_drops"]
        fields["scap.n_drops_buffer_open_exit"] = part
        fields["scap.n_drops_buffer_close_exit"] = now["scap.n_drops"] - part
    return dict(sorted(fields.items()))


def alert(number: int, at: float, hosts: int) -> tuple[Fields, bool]:
    """Return the fields of a complete alert and whether it comes from the host."""
    on_host = number * 7 % 10 < hosts
    name, parent, line = (ON_HOST if on_host else IN_CONTAINERS)[number % 2]
    fields: Fields = {
        "evt.time": nanos(at),
        "proc.cmdline": line,
        "proc.name": name,
        "proc.pname": parent,
        "user.loginuid": 1000 if on_host else -1,
        "user.name": "root" if number % 3 or not on_host else "alice",
        "user.uid": 0 if number % 3 or not on_host else 1000,
    }
    pod = (None, None, None, None) if on_host else PODS[number % len(PODS)][1:]
    fields["container.id"] = "host" if on_host else PODS[number % len(PODS)][0]
    keys = ("container.name", "container.image.repository", "k8s.pod.name", "k8s.ns.name")
    fields |= dict(zip(keys, pod, strict=True))
    if on_host:
        fields |= {"container.name": "host", "fd.name": line.split()[-1], "proc.aname[2]": "bash"}
        fields |= {"proc.aname[3]": "systemd", "proc.aname[4]": None}
    return fields, on_host


def no_metadata(fields: Fields, _number: int, _at: float) -> None:
    """Lose all that the runtime tells of a container."""
    if fields["container.id"] != "host":
        lost = [name for name in fields if name.startswith(("container.", "k8s.")) and name != "container.id"]
        fields |= dict.fromkeys(lost)


def no_name(fields: Fields, number: int, _at: float) -> None:
    """Know the image but no name, as containerd's own engine does: null, or the id once more."""
    if fields["container.id"] != "host":
        fields["container.name"] = fields["container.id"] if number % 2 else None


def no_pod(fields: Fields, number: int, _at: float) -> None:
    """Know the container from Docker, which keeps no pod; the name still shows that there is one."""
    if fields["container.id"] != "host":
        pod, namespace = fields["k8s.pod.name"], fields["k8s.ns.name"]
        uid = f"b8968793-8b38-42fd-b2cf-{number % len(PODS):012d}"
        fields["container.name"] = f"k8s_{fields['container.name']}_{pod}_{namespace}_{uid}_0"
        fields |= {"k8s.pod.name": None, "k8s.ns.name": None}


def missed_windows(fields: Fields, number: int, at: float) -> None:
    """Lose four containers of ten for good, from the upgrade on."""
    if at >= UPGRADED and number % len(PODS) in (1, 4, 6, 7):
        no_metadata(fields, number, at)


def no_user_names(fields: Fields, _number: int, _at: float) -> None:
    """Know the uid and not its name: the host's /etc is not mounted."""
    if fields["container.id"] == "host":
        fields["user.name"] = ""


def lost_process(fields: Fields, number: int, _at: float) -> None:
    """Lose one process, as it happens when its events are lost."""
    if number == 40:
        fields |= dict.fromkeys(("proc.pname", "container.name", "container.image.repository"))
        fields |= {"proc.cmdline": "", "proc.name": None, "user.name": "", "user.uid": 2**32 - 1}


def sandbox(fields: Fields, number: int, _at: float) -> None:
    """Be the pod's sandbox once or twice, which is healthy."""
    if fields["container.id"] != "host" and number in (22, 48):
        fields |= {"proc.name": "pause", "proc.cmdline": "pause"}
        fields |= dict.fromkeys(name for name in fields if name.startswith("container.") and name != "container.id")


UPGRADED = 10 * MINUTE
DROPS = Rates(drops=0.12)
FULL = Rates(table_drops=32, threads=LIMIT)
SCENARIOS = {
    "healthy_0.37": Scenario([], "0.37.1", faults=[sandbox]),
    "healthy_0.40": Scenario([], "0.40.0", faults=[sandbox]),
    "healthy_0.44": Scenario([], faults=[sandbox]),
    "stale": Scenario(["stale"], alerts_after=30 * MINUTE),
    "kernel_drops": Scenario(["events_lost"], rates=DROPS, faults=[lost_process]),
    "table_full": Scenario(["table_full"], "0.40.0", rates=FULL),
    "store_drops": Scenario(["store_drops"], "0.40.0", rates=Rates(store_drops=0.02)),
    "thread_lookups": Scenario(["thread_lookups"], rates=Rates(failed_threads=0.25)),
    "runtime_all_null": Scenario(["container_runtime"], zeros=True, faults=[no_metadata], hosts=1, cached=0),
    "containerd_engine": Scenario(["container_runtime"], "0.41.3", faults=[no_name], hosts=1),
    "docker_answers_first": Scenario(["container_runtime"], "0.38.2", faults=[no_pod], hosts=1),
    "lookup_window_0.43": Scenario(
        ["container_runtime"], "0.40.0", faults=[missed_windows], hosts=0, cached=6, upgrade=(UPGRADED, "0.43.0")
    ),
    "user_mounts": Scenario(["user_mounts"], faults=[no_user_names], hosts=9),
    "output_fields_off": Scenario([], output_fields=False, not_judged=["container_runtime", "user_mounts"]),
    "counters_off": Scenario([], state=False, not_judged=["table_full", "store_drops", "thread_lookups"]),
    "text_output": Scenario([], "0.40.0", as_text=True),
    "kernel_drops_and_runtime": Scenario(
        ["events_lost", "container_runtime"], rates=DROPS, faults=[no_metadata, lost_process], hosts=1, cached=0
    ),
    "table_full_and_users": Scenario(
        ["table_full", "user_mounts"], "0.42.1", rates=FULL, faults=[no_user_names], hosts=9
    ),
}
LABELS = {
    "proc.name": "process",
    "proc.pname": "parent",
    "proc.cmdline": "command",
    "proc.aname[2]": "gparent",
    "proc.aname[3]": "ggparent",
    "proc.aname[4]": "gggparent",
}


def compact(value: object) -> str:
    """Return JSON without blanks."""
    return json.dumps(value, separators=(",", ":"))


def snapshot_line(scenario: Scenario, at: float, fields: Fields) -> str:
    """Return a snapshot as the output rule prints it."""
    if scenario.as_text:
        pairs = " ".join(f"{name}={compact(value)}" for name, value in fields.items())
        return f"{stamp(at)[11:29]}: Informational Falco metrics snapshot ({pairs})"
    return compact(
        {
            "hostname": HOST,
            "output": "Falco metrics snapshot",
            "output_fields": fields,
            "priority": "Informational",
            "rule": "Falco internal: metrics snapshot",
            "source": "internal",
            "time": stamp(at),
        }
    )


def alert_line(scenario: Scenario, version: str, at: float, fields: Fields, *, on_host: bool) -> str:
    """Return an alert; JSON comes without the text and the tags, both of which Falco can leave out."""
    rule, priority, message = (
        ("Read sensitive file untrusted", "Warning", "Sensitive file opened for reading by non-trusted program")
        if on_host
        else ("Terminal shell in container", "Notice", "A shell was spawned in a container with an attached terminal")
    )
    if scenario.as_text:
        shown = {
            LABELS.get(name, name.replace(".", "_")): value for name, value in fields.items() if name != "evt.time"
        }
        pairs = " ".join(f"{name}={'<NA>' if value is None else value}" for name, value in shown.items())
        return f"{stamp(at)[11:29]}: {priority} {message} ({pairs})"
    head = {"hostname": HOST, "priority": priority, "rule": rule, "source": "syscall", "time": stamp(at)}
    if not scenario.output_fields:
        return compact(head | {"output": f"{stamp(at)[11:29]}: {priority} {message} | process={fields['proc.name']}"})
    fields = dict(sorted(fields.items()))
    if minor(version) <= 38:  # the fields came last, with blanks around them
        return f'{compact(head)[:-1]}, "output_fields": {compact(fields)}}}'
    return compact(dict(sorted((head | {"output_fields": fields}).items())))


def lines(scenario: Scenario) -> Iterator[str]:
    """Yield the lines of a log in the order of their times."""
    split, newer = scenario.upgrade or (RUN + scenario.alerts_after + 1, scenario.version)

    def running(at: float) -> tuple[str, float]:
        """Return the version that runs at a time and the age of its process."""
        return (scenario.version, at) if at < split else (newer, at - split)

    moments = [(at + 0.0, -1) for at in range(0, RUN + 1, MINUTE)]
    moments += [(at + 7.3, number) for number, at in enumerate(range(0, RUN + scenario.alerts_after, 45))]
    for at, number in sorted(moments):
        version, life = running(at)
        if number < 0:
            if life or minor(version) >= 41:  # the older ones wait for the first tick
                yield snapshot_line(scenario, at, snapshot(scenario, version, at, life))
            continue
        fields, on_host = alert(number, at, scenario.hosts)
        for fault in scenario.faults:
            fault(fields, number, at)
        yield alert_line(scenario, version, at, fields, on_host=on_host)


def write(directory: Path) -> None:
    """Write every log, and what a diagnosis must say of it."""
    expected: dict[str, dict[str, Any]] = {}
    for name, scenario in SCENARIOS.items():
        (directory / f"{name}.jsonl").write_text("".join(f"{line}\n" for line in lines(scenario)))
        expected[f"{name}.jsonl"] = {"exit": int(bool(scenario.causes)), "causes": scenario.causes}
        if scenario.not_judged:
            expected[f"{name}.jsonl"]["not_judged"] = scenario.not_judged
    (directory / "expected.json").write_text(json.dumps(expected, indent=2) + "\n")


if __name__ == "__main__":
    write(Path(__file__).parent)
