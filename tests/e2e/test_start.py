"""Starting and stopping: what is served at once, what is refused, and how it ends."""

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from e2e.harness import (
    COMMAND,
    HOSTNAME,
    RUNS,
    Ended,
    Exporter,
    Start,
    alert,
    append,
    by_label,
    eventually,
    polls,
    run,
    snapshot,
)

pytestmark = pytest.mark.e2e

LONG_BYTES = 50 << 20
LOOPBACK = "--web.listen-address=127.0.0.1:0"


def newest_snapshots(exporter: Exporter) -> dict[str, float]:
    """Return the time of every host's newest snapshot."""
    return by_label(exporter.scrape(), "falco_enrichment_snapshot_timestamp_seconds", "hostname")


# -- warm start --------------------------------------------------------------------------------------------------------


def test_a_warm_start_serves_the_newest_snapshot_of_every_host_at_once(start: Start, tmp_path: Path) -> None:
    """Three hosts' recorded output in one file: the first scrape shows the last snapshot of each, and its intervals."""
    recorded = (RUNS / "run-a" / "alerts.jsonl").read_bytes()
    log = tmp_path / "falco.log"
    for number in (1, 2, 3):
        append(log, recorded.replace(HOSTNAME.encode(), f"node-{number}".encode()))
    fields = [line["output_fields"] for line in map(json.loads, recorded.splitlines())]
    last = max(its["evt.time"] for its in fields if "falco.version" in its) / 1e9

    exporter = start(f"--source.paths={log}").wait_until_ready()
    samples = exporter.scrape()
    newest = by_label(samples, "falco_enrichment_snapshot_timestamp_seconds", "hostname")
    assert newest == {f"node-{number}": pytest.approx(last, abs=1e-3) for number in (1, 2, 3)}
    for series in ("kernel_events_per_second", "threads_added_per_second", "snapshot_interval_seconds"):
        assert by_label(samples, f"falco_enrichment_{series}", "hostname").keys() == newest.keys()


def test_a_warm_start_does_not_count_older_alerts(start: Start, tmp_path: Path) -> None:
    """Who counted them before the start is unknown, so nobody counts them now; the bytes are accounted for."""
    log = tmp_path / "falco.log"
    append(log, snapshot("node", 1_800_000_000), alert("old") * 50, snapshot("node", 1_800_000_060), alert("old") * 50)

    exporter = start(f"--source.paths={log}", "--source.poll-interval=50ms").wait_until_ready()
    assert exporter.total("rule_alerts_total") is None
    assert exporter.total("exporter_skipped_bytes_total") == log.stat().st_size
    append(log, alert("new"))
    eventually(lambda: exporter.total("rule_alerts_total"), lambda count: count == 1)


def test_a_host_whose_newest_snapshot_is_far_back_is_found(start: Start, tmp_path: Path) -> None:
    """A host that fell silent 50 MB ago is shown with its last snapshot and interval, and the newest host at once."""
    log = tmp_path / "falco.log"
    noise = alert("noise", output='an alert that quotes "evt.source" and Falco metrics snapshot')
    noise = noise.replace(b'"evt.type"', b'"evt.source":"syscall","evt.type"')
    append(log, snapshot("silent", 1_800_000_000), snapshot("silent", 1_800_003_600))
    append(log, noise * (LONG_BYTES // len(noise)))
    append(log, snapshot("lively", 1_800_010_000), snapshot("lively", 1_800_013_600))
    assert log.stat().st_size > LONG_BYTES - len(noise)

    exporter = start(f"--source.paths={log}", "--source.poll-interval=50ms").wait_until_ready()
    assert newest_snapshots(exporter)["lively"] == 1_800_013_600
    eventually(lambda: newest_snapshots(exporter).get("silent"), lambda at: at == 1_800_003_600)
    assert exporter.total("snapshot_interval_seconds", hostname="silent") == 3600
    assert exporter.total("rule_alerts_total") is None


def test_a_snapshot_that_is_far_back_is_part_of_its_hosts_interval(start: Start, tmp_path: Path) -> None:
    """A busy host writes 50 MB of alerts between two snapshots: the interval between them is there all the same."""
    log = tmp_path / "falco.log"
    append(log, snapshot("busy", 1_800_000_000))
    append(log, alert("noise") * (LONG_BYTES // len(alert("noise"))))
    append(log, snapshot("busy", 1_800_003_600))

    exporter = start(f"--source.paths={log}", "--source.poll-interval=50ms").wait_until_ready()
    assert newest_snapshots(exporter) == {"busy": 1_800_003_600}
    eventually(lambda: exporter.total("snapshot_interval_seconds"), lambda interval: interval == 3600, within=4)


def test_it_is_not_ready_before_a_redirected_file_is_read(start: Start, tmp_path: Path) -> None:
    """503 with a reason while it reads, then 200, and with the first 200 everything is counted."""
    count = 100_000
    log = tmp_path / "falco.log"
    log.write_bytes(alert("many") * count)
    with log.open("rb") as file:
        exporter = start("--source.paths=-", stdin=file)

    answers = []
    for _ in polls(60):
        answers.append(exporter.get("/-/ready"))
        if answers[-1].status == 200:
            break
        assert exporter.get("/-/healthy").status == 200
    assert answers[-1].status == 200
    assert exporter.total("rule_alerts_total") == count
    waiting = [answer.text for answer in answers if answer.status == 503]
    assert "Not ready: reading standard input.\n" in waiting


# -- ending ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_well(start: Start, tmp_path: Path, number: signal.Signals) -> None:
    """SIGTERM and SIGINT are how one stops it, so they are no failure."""
    exporter = start(f"--source.paths={tmp_path / 'falco.log'}").wait_until_ready()
    ended = exporter.stop(number)
    assert ended.code == 0
    assert number.name in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_signal_right_after_the_address_is_logged_ends_it_well(start: Start, tmp_path: Path) -> None:
    """Who is told that it listens may tell it to stop, in the next instant."""
    exporter = start(f"--source.paths={tmp_path / 'falco.log'}")
    for _ in polls(10, every=0):
        if "address=" in exporter.stderr:
            break
    assert exporter.stop().code == 0


def test_a_signal_while_a_long_file_is_searched_ends_it_well(start: Start, tmp_path: Path) -> None:
    """A service manager may change its mind before the start is over."""
    log = tmp_path / "falco.log"
    log.write_bytes(alert("noise") * (LONG_BYTES // len(alert("noise"))))
    exporter = start(f"--source.paths={log}")
    assert exporter.get("/-/healthy").status == 200
    assert exporter.stop().code == 0


def test_an_open_pipe_does_not_keep_it_from_ending(start: Start) -> None:
    """A writer that neither writes nor closes is not waited for."""
    exporter = start("--source.paths=-", stdin=-1).wait_until_ready()
    begun = time.monotonic()
    assert exporter.stop().code == 0
    assert time.monotonic() - begun < 3


def test_clients_that_dawdle_do_not_keep_it_from_ending(start: Start, tmp_path: Path) -> None:
    """An idle connection, half a request, and a client that reads nothing: it ends within a few seconds."""
    exporter = start(f"--source.paths={tmp_path / 'falco.log'}").wait_until_ready()
    address = ("127.0.0.1", exporter.port)
    with (
        socket.create_connection(address),
        socket.create_connection(address) as half,
        socket.create_connection(address) as deaf,
    ):
        half.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n")
        deaf.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 50)
        begun = time.monotonic()
        assert exporter.stop().code == 0
        assert time.monotonic() - begun < 5


# -- wrong settings ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Wrong:
    """A setting that is to be refused, how it is given, and what the message is to name."""

    given: str
    name: str
    kind: str = "flag"

    @property
    def arguments(self) -> list[str]:
        """Arguments of ``serve`` that are right but for this one."""
        more = [self.given] if self.kind == "flag" else []
        paths = [] if self.name == "source.paths" else ["--source.paths=x"]
        return ["serve", *paths, *(() if "listen-address" in self.given else (LOOPBACK,)), *more]

    @property
    def environment(self) -> dict[str, str]:
        """The environment variable that is wrong."""
        return dict([self.given.split("=", 1)]) if self.kind == "environment" else {}

    def refused(self, folder: Path) -> Ended:
        """Run the command in a folder of its own and return how it ended."""
        if self.kind != "file":
            return run(self.arguments, folder, self.environment)
        file = folder / f"{abs(hash(self.given))}.yaml"
        file.write_bytes(self.given.encode(errors="surrogateescape"))
        return run([*self.arguments, f"--config.file={file}"], folder)


WRONG = (
    Wrong("--source.poll-interval=0ms", "--source.poll-interval"),
    Wrong("--web.listen-address=:99999", "--web.listen-address"),
    Wrong("--web.listen-address=no-such-host.invalid:0", "--web.listen-address"),
    Wrong("--web.listen-address=two..dots:0", "--web.listen-address"),
    Wrong("--web.listen-address=[1::2::3]:0", "--web.listen-address"),
    Wrong("--web.listen-address=203.0.113.1:0", "--web.listen-address"),
    Wrong("--web.telemetry-path=/", "--web.telemetry-path"),
    Wrong("--web.telemetry-path=/-/ready", "--web.telemetry-path"),
    Wrong("--native.rules-files=/no/such/file.yaml", "--native.rules-files"),
    Wrong("--config.file=/no/such/file.yaml", "--config.file"),
    Wrong("--no.such-setting=1", "--no.such-setting"),
    Wrong("--source.path=x", "--source.path"),
    Wrong("stray", "stray"),
    Wrong("FALCO_ENRICHMENT_SOURCE=not JSON", "source", "environment"),
    Wrong("FALCO_ENRICHMENT_CONFIG__FILE=/no/such/file.yaml", "config.file", "environment"),
    Wrong('source: {paths: ["nul\\0byte"]}', "source.paths", "file"),
    Wrong("source: {paths: {a: b}}", "source.paths", "file"),
    Wrong("- a list", "config.file", "file"),
    Wrong("source: {paths: [x", "config.file", "file"),
    Wrong("\udcff", "config.file", "file"),
)


@pytest.fixture(scope="module")
def refusals(tmp_path_factory: pytest.TempPathFactory) -> Mapping[Wrong, Ended]:
    """Try all wrong settings, several at a time."""
    folder = tmp_path_factory.mktemp("wrong")
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return dict(zip(WRONG, pool.map(lambda wrong: wrong.refused(folder), WRONG), strict=True))


@pytest.mark.parametrize("wrong", WRONG, ids=[wrong.given.encode("ascii", "replace").decode() for wrong in WRONG])
def test_a_wrong_setting_is_refused_by_name(refusals: Mapping[Wrong, Ended], wrong: Wrong) -> None:
    """Exit code 2 and a short message that names the setting, be it a flag, in the environment or in the file."""
    assert_refused(refusals[wrong], wrong.name)


def assert_refused(ended: Ended, name: str) -> None:
    """Assert that a setting was refused in a few words on stderr."""
    assert "Traceback" not in ended.stderr, ended.stderr
    assert (ended.code, ended.stdout) == (2, "")
    assert name in ended.stderr
    assert len(ended.stderr.splitlines()) <= 8, ended.stderr  # a YAML error is of several lines


def test_all_wrong_settings_are_named_at_once(tmp_path: Path) -> None:
    """Every mistake in the flags, the environment and the file has a line of its own, to be corrected in one go."""
    flags = {
        "--source.poll-interval": "5",
        "--source.thread-table-size": "none",
        "--source.hostname": "",
        "--web.listen-address": "9377",
        "--web.telemetry-path": "metrics",
        "--limits.max-hosts": "0",
        "--limits.max-line-bytes": "lots",
        "--native.enabled": "perhaps",
        "--thresholds.kernel-drop-ratio.warning": "nan",
        "--thresholds.kernel-drop-ratio.critical": "much",
        "--log.level": "loud",
    }
    environment = {
        "FALCO_ENRICHMENT_LIMITS__MAX_RULES": "-1",
        "FALCO_ENRICHMENT_LOG__FORMAT": "xml",
        "FALCO_ENRICHMENT_SOURCE__NO_SUCH": "1",
    }
    file = tmp_path / "config.yaml"
    file.write_text(
        "alerts: [x]\nsources: {paths: [x]}\n"
        "thresholds: {store_drop_ratio: {warning: -1}, no_such_signal: {warning: 1}}\n"
    )
    elsewhere = (
        "--limits.max-rules --log.format --source.no-such --alerts --sources --thresholds.store-drop-ratio.warning"
        " --thresholds.no-such-signal"
    )
    given = [f"{flag}={value}" for flag, value in flags.items()]
    ended = run(["serve", "--source.paths=x", f"--config.file={file}", *given], tmp_path, environment)
    assert (ended.code, ended.stdout) == (2, "")
    named = [line.split(": ")[1] for line in ended.stderr.splitlines()]
    assert sorted(named) == sorted([*flags, *elsewhere.split()])


@pytest.mark.parametrize("paths", [(), ("--source.paths= , ",)])
def test_serving_nothing_is_refused(tmp_path: Path, paths: Sequence[str]) -> None:
    """Without a path there is nothing to follow, and the message says what to set."""
    assert_refused(run(["serve", LOOPBACK, *paths], tmp_path), "--source.paths")


def test_a_port_in_use_is_refused(tmp_path: Path) -> None:
    """Two exporters on one port is a mistake of settings, not a crash."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        ended = run(["serve", "--source.paths=x", f"--web.listen-address={address}"], tmp_path)
    assert_refused(ended, "--web.listen-address")
    assert address in ended.stderr


@pytest.mark.parametrize("arguments", [(), ("no-such-command",), ("version", "stray")])
def test_a_wrong_command_is_a_usage_error(tmp_path: Path, arguments: Sequence[str]) -> None:
    """Exit code 2 and usage on stderr."""
    ended = run(arguments, tmp_path)
    assert ended.code == 2
    assert "usage:" in ended.stderr
    assert "Traceback" not in ended.stderr


# -- information and settings ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--help",), "COMMAND [--flag=value ...]"),
        (("serve", "--help"), "serve [--flag=value ...]"),
        (("demo", "--help"), "built-in synthetic Falco"),
        (("diagnose", "--help"), "diagnose FILE... [--flag=value ...]"),
        (("backfill", "--help"), "backfill FILE... [--flag=value ...]"),
        (("assets", "--help"), "assets DIR [--flag=value ...]"),
        (("version", "--help"), "version"),
    ],
)
def test_help_is_given_and_is_no_failure(tmp_path: Path, arguments: Sequence[str], words: str) -> None:
    """Help goes to stdout and ends with 0; nothing is left behind."""
    ended = run(arguments, tmp_path)
    assert (ended.code, ended.stderr) == (0, "")
    assert "usage: falco-enrichment-exporter" in ended.stdout
    assert words in ended.stdout
    assert not list(tmp_path.iterdir())


def test_a_reader_may_stop_reading(tmp_path: Path) -> None:
    """As head does: no traceback, and an exit code that means nothing else."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        ended = subprocess.run([*COMMAND, "version"], stdout=writer, stderr=subprocess.PIPE, check=False, timeout=60)
    finally:
        os.close(writer)

    assert (ended.returncode, ended.stderr) == (141, b"")


@pytest.mark.parametrize("arguments", [("version",), ("--version",)])
def test_the_version_is_told(tmp_path: Path, arguments: Sequence[str]) -> None:
    """Name and version stand on the first line."""
    ended = run(arguments, tmp_path)
    assert (ended.code, ended.stderr) == (0, "")
    assert ended.stdout.splitlines()[0].startswith("falco-enrichment-exporter 0.")


def test_serve_help_describes_every_setting(tmp_path: Path) -> None:
    """The flags that users are told about are all in the help, with what they are for."""
    text = run(["serve", "--help"], tmp_path).stdout
    flags = (
        "--source.paths --source.hostname --source.thread-table-size --source.poll-interval --web.listen-address"
        " --web.telemetry-path --native.enabled --native.rules-files --alerts.enabled --limits.max-hosts"
        " --limits.max-rules --limits.max-line-bytes --log.level --log.format --config.file"
        " --thresholds.kernel-drop-ratio.warning --thresholds.alert-missing-ratio.critical"
    )
    assert [flag for flag in flags.split() if f" {flag} " not in text] == []


def thresholds(exporter: Exporter) -> dict[str, float | None]:
    """Return the limits of kernel drops, which the settings below change."""
    return {s: exporter.total("threshold", signal="kernel_drop_ratio", severity=s) for s in ("warning", "critical")}


def test_settings_come_from_a_yaml_file(start: Start, tmp_path: Path) -> None:
    """Keys are those of the flags, nested at the dots, in kebab-case or snake_case."""
    log = tmp_path / "falco.log"
    file = tmp_path / "config.yaml"
    file.write_text(
        f"source:\n  paths: [{log}]\n  poll-interval: 50ms\n  thread_table_size: 4096\n"
        "thresholds:\n  kernel-drop-ratio: {warning: 0.25}\n"
    )
    exporter = start(f"--config.file={file}").wait_until_ready()
    append(log, snapshot("node", 1_800_000_000))
    eventually(lambda: exporter.total("threadtable_limit"), lambda limit: limit == 4096)
    assert thresholds(exporter) == {"warning": 0.25, "critical": 0.1}


def test_settings_come_from_the_environment(start: Start, tmp_path: Path) -> None:
    """Group, two underscores, name; a list is comma-separated as in the flag."""
    first, second = tmp_path / "first.log", tmp_path / "second.log"
    environment = {
        "FALCO_ENRICHMENT_SOURCE__PATHS": f"{first},{second}",
        "FALCO_ENRICHMENT_SOURCE__POLL_INTERVAL": "50ms",
        "FALCO_ENRICHMENT_THRESHOLDS__KERNEL_DROP_RATIO__CRITICAL": "0.5",
    }
    exporter = start("serve", environment=environment).wait_until_ready()
    append(first, alert("env"))
    append(second, alert("env"))
    eventually(lambda: exporter.total("rule_alerts_total", rule="env"), lambda count: count == 2)
    assert thresholds(exporter) == {"warning": 0.001, "critical": 0.5}


def test_flags_win_over_the_environment_and_the_environment_over_the_file(start: Start, tmp_path: Path) -> None:
    """The closer to the command line, the stronger."""
    file = tmp_path / "config.yaml"
    file.write_text(
        "source: {paths: [of-the-file], thread_table_size: 1}\n"
        "thresholds: {kernel_drop_ratio: {warning: 0.3, critical: 0.3}}\n"
    )
    environment = {
        "FALCO_ENRICHMENT_CONFIG__FILE": str(file),
        "FALCO_ENRICHMENT_SOURCE__PATHS": "of-the-environment",
        "FALCO_ENRICHMENT_THRESHOLDS__KERNEL_DROP_RATIO__WARNING": "0.2",
    }
    flags = ("--source.paths=of-the-flag", "--source.paths=and-another,and-a-third")
    exporter = start(*flags, environment=environment).wait_until_ready()
    paths = {dict(labels)["path"] for name, labels in exporter.scrape() if name.endswith("_source_up")}
    assert paths == {"of-the-flag", "and-another", "and-a-third"}
    assert thresholds(exporter) == {"warning": 0.2, "critical": 0.3}


def test_alerts_are_not_even_looked_at_when_told_so(start: Start, tmp_path: Path) -> None:
    """--alerts.enabled=false leaves the alert series out; how many alerts there were is unknown, not zero."""
    log = tmp_path / "falco.log"
    arguments = (f"--source.paths={log}", "--alerts.enabled=false", "--source.poll-interval=50ms")
    exporter = start(*arguments).wait_until_ready()
    append(log, alert("uncounted") * 3, snapshot("node", 1_800_000_000), alert("uncounted"), b"noise\n")
    eventually(lambda: exporter.total("exporter_lines_total", kind="snapshot"), lambda count: count == 1)
    assert exporter.total("exporter_lines_total", kind="alert") is None
    assert exporter.total("exporter_lines_total", kind="other") is None
    assert exporter.total("rule_alerts_total") is None
    assert exporter.total("alerts_total") is None


def test_more_hosts_and_rules_than_allowed_are_counted_and_not_kept(start: Start, tmp_path: Path) -> None:
    """Beyond a limit: counted, never unbounded, and the total of alerts stays exact."""
    log = tmp_path / "falco.log"
    limits = ("--limits.max-hosts=3", "--limits.max-rules=3", "--source.poll-interval=50ms")
    exporter = start(f"--source.paths={log}", *limits).wait_until_ready()
    append(log, *(snapshot(f"node-{number}", 1_800_000_000) for number in range(5)))
    append(log, *(alert(f"rule {number}") for number in range(10)))

    eventually(lambda: exporter.total("rule_alerts_total"), lambda count: count == 10)
    assert len(newest_snapshots(exporter)) == 3
    assert exporter.total("exporter_dropped_hosts_total") == 2
    assert len(by_label(exporter.scrape(), "falco_enrichment_rule_alerts_total", "rule")) == 4
    assert exporter.total("exporter_limit_hits_total", limit="rules") == 7


@pytest.mark.parametrize("style", ["json", "logfmt"])
def test_every_log_line_is_of_the_chosen_format(start: Start, tmp_path: Path, style: str) -> None:
    """One object or one row of pairs a line, from the first to the last, with strange paths and errors in them."""
    path = tmp_path / 'no such "file"\n.log'
    exporter = start(f"--source.paths={path}", f"--log.format={style}", "--log.level=debug").wait_until_ready()
    with socket.create_connection(("127.0.0.1", exporter.port)) as client:
        client.sendall(b"NONSENSE\r\n\r\n")
        assert b" 400 " in client.recv(4096)
    lines = exporter.stop().stderr.splitlines()
    assert len(lines) >= 3
    for line in lines:
        if style == "json":
            assert {"ts", "level", "msg"} <= json.loads(line).keys()
        else:
            assert line.startswith("ts=")
            assert " level=" in line
