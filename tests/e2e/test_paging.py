"""From Falco's log to the pager: the exporter, Debian's Prometheus and Alertmanager, our rules and our example.

Only time is scaled: a snapshot a second instead of one a minute, and the rules' waits with it.
"""

import json
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final, Self

import pytest
import yaml
from demo_stack import scaled_rules

from e2e.harness import Prometheus, Start, append, eventually, fetch, free_port
from falco_enrichment_exporter.commands.demo import TABLE_SIZE, Fields, SyntheticHost, _host_lines

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

ALERTS: Final = Path(__file__).parents[2] / "alerts"
HEALTHY_SECONDS: Final = 8
WAIT_SECONDS: Final = 9
"""Alertmanager's group_wait: long enough for three intervals, so that what is muted was never sent."""

Sent = tuple[str, str, str, str]
"""Receiver, alert's name, host, domain."""


class DegradingHost(SyntheticHost):
    """A host that is well until it is told to degrade."""

    is_broken = False

    def __init__(self, name: str) -> None:
        self.name = name
        super().__init__(time.time_ns())

    def act(self, step: int, at_ns: int) -> None:
        """Reload nothing."""


class RuntimeLost(DegradingHost):
    """Its containers are gone, and alerts know nothing of them."""

    def containers(self, step: int) -> int:  # noqa: ARG002
        return 0 if self.is_broken else 12

    def degrade(self, step: int) -> None:  # noqa: ARG002
        if self.is_broken:
            self.grow("plugins.container.n_missing_container_images", 8, 9)

    def alert(self, at_ns: int, step: int) -> Fields:
        lost = ("container.image.repository", "container.name", "k8s.ns.name", "k8s.pod.name")
        return super().alert(at_ns, step) | (dict.fromkeys(lost) if self.is_broken else {})


class TableFull(DegradingHost):
    """Its thread table is full: threads are refused, stores and lookups fail."""

    def degrade(self, step: int) -> None:  # noqa: ARG002
        self.threads = TABLE_SIZE if self.is_broken else 1800
        if self.is_broken:
            self.grow("falco.n_drops_full_threadtable", 400, 900)
            self.grow("falco.n_store_evts_drops", 6_000, 7_000)
            self.grow("falco.n_failed_thread_lookups", 40_000, 50_000)


class UsersLost(DegradingHost):
    """Users have no names."""

    def alert(self, at_ns: int, step: int) -> Fields:
        return super().alert(at_ns, step) | ({"user.name": "<NA>"} if self.is_broken else {})


class Falco:
    """Writes the hosts' lines every second until it is ended; a broken ``silent`` host writes none."""

    def __init__(self, log: Path) -> None:
        self._log = log
        self.silent = DegradingHost("silent")
        self.hosts: list[DegradingHost] = [
            RuntimeLost("runtime-lost"), TableFull("table-full"), UsersLost("users-lost"), self.silent,
            *(DegradingHost(f"well-{number}") for number in range(3)),
        ]  # fmt: skip
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join()

    def set_broken(self, *, is_broken: bool) -> None:
        """Let all that can go wrong go wrong, or heal."""
        for host in self.hosts:
            host.is_broken = is_broken

    def _run(self) -> None:
        tick = 0
        while not self._is_over.wait(1):
            tick += 1
            for host in self.hosts:
                if not (host is self.silent and host.is_broken):
                    lines = _host_lines(host, tick, time.time_ns())
                    append(self._log, *(json.dumps(line).encode() + b"\n" for line in lines))


class Receiver(ThreadingHTTPServer):
    """Keeps what Alertmanager's webhooks were told: what fires now, and all that ever did."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.firing: set[Sent] = set()
        self.ever: set[Sent] = set()
        self.texts: list[str] = []


class _Handler(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        told = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        for alert in told["alerts"]:
            labels = alert["labels"]
            sent = (self.path[1:], labels["alertname"], labels.get("hostname", ""), labels.get("domain", ""))
            self.server.ever.add(sent)
            if alert["status"] == "firing":
                self.server.firing.add(sent)
                self.server.texts.append(alert["annotations"]["description"])
            else:
                self.server.firing.discard(sent)
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Start a webhook receiver."""
    with Receiver() as receiver:
        threading.Thread(target=receiver.serve_forever, daemon=True).start()
        yield receiver
        receiver.shutdown()


@pytest.fixture
def alertmanager_port(receiver: Receiver, tmp_path: Path) -> Iterator[int]:
    """Start Debian's Alertmanager with our example; only times and the receivers' address differ."""
    port, text = free_port(), (ALERTS / "alertmanager" / "alertmanager.yml").read_text()
    text = text.replace("127.0.0.1:9099", f"127.0.0.1:{receiver.server_address[1]}")
    text = text.replace("group_wait: 30s", f"group_wait: {WAIT_SECONDS}s").replace(
        "group_interval: 5m", "group_interval: 1s"
    )
    folder = tmp_path / "alertmanager"
    (folder / "templates").mkdir(parents=True)
    for template in (ALERTS / "alertmanager" / "templates").iterdir():
        (folder / "templates" / template.name).write_text(template.read_text())
    (folder / "alertmanager.yml").write_text(text)
    command = [
        "prometheus-alertmanager", f"--config.file={folder / 'alertmanager.yml'}", f"--storage.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address=",
    ]  # fmt: skip
    with (folder / "log").open("wb") as log, subprocess.Popen(command, stdout=log, stderr=log, cwd=folder) as process:
        yield port
        process.kill()


def scaled(folder: Path) -> Path:
    """Write our rules with their times scaled, without the burn rates: their windows are days, promtool has them."""
    path = folder / "rules.yml"
    path.write_text(yaml.safe_dump(scaled_rules()))
    return path


def muted(port: int) -> set[tuple[str, str]]:
    """Return the alerts that Alertmanager holds back: name and host."""
    alerts = json.loads(fetch("127.0.0.1", port, "/api/v2/alerts?active=false&inhibited=true").body)
    return {(alert["labels"]["alertname"], alert["labels"].get("hostname", "")) for alert in alerts}


EXPECTED: Final[set[Sent]] = {
    ("page", "FalcoContainersVanished", "runtime-lost", ""),
    ("page", "FalcoAlertsWithoutMetadata", "runtime-lost", "container_image"),
    ("page", "FalcoAlertsWithoutMetadata", "runtime-lost", "kubernetes"),
    ("page", "FalcoThreadTableFull", "table-full", ""),
    ("page", "FalcoAlertsWithoutMetadata", "users-lost", "user_name"),
    ("ticket", "FalcoSnapshotStale", "silent", ""),
}
MUTED: Final = {
    ("FalcoThreadTableFull", "table-full"),  # the warning
    ("FalcoThreadTableNearlyFull", "table-full"),
    ("FalcoStoreEventDrops", "table-full"),
    ("FalcoThreadLookupFailures", "table-full"),
}


def test_the_right_person_is_told_of_the_cause_and_later_that_it_is_over(
    start: Start, tmp_path: Path, receiver: Receiver, alertmanager_port: int
) -> None:
    """Four hosts degrade and heal, three stay well: each cause is told, what it mutes never, and nothing before."""
    log = tmp_path / "falco.log"
    log.touch()
    exporter = start(f"--source.paths={log}", "--source.poll-interval=50ms").wait_until_ready()
    folder = tmp_path / "prometheus"
    folder.mkdir()
    with (
        Falco(log) as falco,
        Prometheus(exporter.port, folder, rules=scaled(tmp_path), alertmanager_port=alertmanager_port) as prometheus,
    ):
        fresh = "count(falco_enrichment:snapshot_fresh:bool == 1)"
        eventually(lambda: prometheus.query(fresh).values(), lambda seen: 7 in seen, within=40)
        time.sleep(HEALTHY_SECONDS)
        assert receiver.ever == set()
        assert prometheus.query("ALERTS") == {}

        falco.set_broken(is_broken=True)
        eventually(lambda: set(receiver.firing), lambda firing: firing >= EXPECTED, within=60)
        eventually(lambda: muted(alertmanager_port), lambda held: held >= MUTED)
        assert receiver.firing == EXPECTED
        assert not any("{{" in text or "<no value>" in text or "NaN" in text for text in receiver.texts)

        falco.set_broken(is_broken=False)
        eventually(lambda: set(receiver.firing), lambda firing: not firing, within=90)
        assert receiver.ever == EXPECTED
