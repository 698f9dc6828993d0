"""History as OpenMetrics: at each snapshot's time what a scrape would have shown then."""

import asyncio
import gzip
import io
import os
import random
import threading
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from falco_enrichment_exporter.cli import main
from falco_enrichment_exporter.commands.reader import Reader
from falco_enrichment_exporter.core.catalog import Kind
from falco_enrichment_exporter.core.envelope import Unwrapper
from falco_enrichment_exporter.core.intake import fold_lines
from falco_enrichment_exporter.exposition.collector import HostSeries
from falco_enrichment_exporter.exposition.native import NativeSeries
from falco_enrichment_exporter.exposition.page import Page
from falco_enrichment_exporter.exposition.recording import MOST_RUNS, Recording
from falco_enrichment_exporter.exposition.telemetry import Tally
from snapshots import START_NS, make_fields, make_fleet, make_line

Series = tuple[str, frozenset[tuple[str, str]]]
ALERT = (
    b'{"hostname":"%b","output_fields":{"container.id":"0123456789ab","container.image.repository":%b},'
    b'"priority":"Notice","rule":"R","source":"syscall","time":"%b"}'
)


def parse(text: str) -> dict[float, dict[Series, float]]:
    """Return all samples by time; the parser is prometheus_client's strict one."""
    found: defaultdict[float, dict[Series, float]] = defaultdict(dict)
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            at, key = float(sample.timestamp or 0), (sample.name, frozenset(sample.labels.items()))
            assert key not in found[at], f"{key} is there twice"
            found[at][key] = sample.value
    return found


def make_log(hosts: tuple[str, ...] = ("a", "b"), intervals: int = 6) -> list[bytes]:
    """Return a log of some hosts: snapshots every minute, alerts between them, a restart of Falco."""
    lines = []
    draw = random.Random(11)  # noqa: S311
    for tick in range(1, intervals + 1):
        for number, hostname in enumerate(hosts):
            at = tick * 60 + number * 7
            images = [draw.choice((b'"nginx"', b"null")) for _ in range(3)]
            lines += [ALERT % (hostname.encode(), image, iso(at - 1)) for image in images]
            start = {"falco.start_ts": START_NS + 4 * 60 * 10**9} if tick >= 4 else {}
            counters = {"scap__n_evts": tick % 4 * 1000 + 1000, "scap__n_drops": tick % 4 * 10}
            lines.append(make_line(make_fields(at, **counters) | start, hostname))
    return lines


def iso(at: float) -> bytes:
    """Return the time of an alert so many seconds after Falco's start."""
    return datetime.fromtimestamp(START_NS / 10**9 + at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ").encode()


def write(path: Path, lines: list[bytes]) -> Path:
    """Write lines to a file."""
    path.write_bytes(b"\n".join([*lines, b""]))
    return path


def shown_after(lines: list[bytes], hostname: str) -> dict[Series, float]:
    """Return what the metrics page shows of a host when these lines were read."""
    fleet = make_fleet()
    fold_lines(lines, Unwrapper(1 << 20), fleet)
    page = Page(fleet, [HostSeries(fleet), NativeSeries({})], Tally(), CollectorRegistry())
    shown = parse(b"".join(asyncio.run(page.make(is_open_metrics=True))).decode())[0]
    return {key: value for key, value in shown.items() if ("hostname", hostname) in key[1]}


def test_it_shows_at_each_snapshots_time_what_a_scrape_would_have_shown(tmp_path: Path) -> None:
    """Every series, and no other one; each host at its own times."""
    lines = make_log()
    log, to = write(tmp_path / "falco.json", lines), tmp_path / "history.om"

    assert main(["backfill", str(log), "--to", str(to), "--step=0s"]) == 0

    found = parse(to.read_text())
    assert len(found) == 12
    for count, line in enumerate(lines, 1):
        if b"evt.source" in line:
            hostname = "a" if b'"hostname": "a"' in line else "b"
            at = next(at for at in found if f'"evt.time": {round(at * 10**9)}'.encode() in line)
            assert found[at] == shown_after(lines[:count], hostname)


def test_what_a_snapshot_shows_stands_until_the_next_one(tmp_path: Path) -> None:
    """A series that is no longer known ends with the snapshot that does not show it; a gap ends all."""
    known, unknown = make_fields(60, falco__n_threads=100), make_fields(120, falco__n_threads=None)
    lines = [
        make_line(fields, "a")
        for fields in (known, unknown, make_fields(180, falco__n_threads=7), make_fields(7200, falco__n_threads=9))
    ]
    to = tmp_path / "history.om"

    assert main(["backfill", str(write(tmp_path / "log", lines)), f"--to={to}", "--step=20s"]) == 0

    threads = {
        round(at - START_NS / 1e9): value
        for at, samples in parse(to.read_text()).items()
        for (name, _), value in samples.items()
        if name == "falco_enrichment_threads"
    }
    assert threads == {60: 100, 80: 100, 100: 100} | {180 + 20 * step: 7 for step in range(9)} | {7200: 9}


@pytest.mark.parametrize("names", [("falco.json", "falco.json.1"), ("falco.json", "falco.json.1.gz")])
def test_the_order_of_the_files_does_not_matter(
    names: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A glob names the newest one first."""
    lines = make_log()
    whole = tmp_path / "whole.om"
    main(["backfill", str(write(tmp_path / "all", lines)), f"--to={whole}"])
    files = [write(tmp_path / name, part) for name, part in zip(names, (lines[20:], lines[:20]), strict=True)]
    if names[1].endswith(".gz"):
        files[1].write_bytes(gzip.compress(files[1].read_bytes()))
    to = tmp_path / "history.om"
    capsys.readouterr()

    assert main(["backfill", *map(str, files), f"--to={to}"]) == 0

    assert to.read_text() == whole.read_text()
    assert "12 snapshots of 2 hosts, 2023-11-14 22:14:20+00:00 to" in capsys.readouterr().out


def test_files_of_the_same_time_are_read_side_by_side(tmp_path: Path) -> None:
    """Falco can write its snapshots to a file of their own; counts of alerts are as of the snapshot all the same."""
    lines = make_log(intervals=60)
    whole, to = tmp_path / "whole.om", tmp_path / "history.om"
    main(["backfill", str(write(tmp_path / "all", lines)), f"--to={whole}"])
    apart = [write(tmp_path / name, [line for line in lines if (b"evt.source" in line) is is_snapshot])
             for name, is_snapshot in (("metrics.json", True), ("falco.json", False))]  # fmt: skip

    assert main(["backfill", *map(str, apart), f"--to={to}"]) == 0

    assert to.read_text() == whole.read_text()


def test_snapshots_that_are_there_twice_are_taken_once_and_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Both of Falco's outputs have them; and one that is older than what stands before it has no place."""
    lines = make_log()
    log = write(tmp_path / "log", [*lines, lines[-1], lines[3]])

    assert main(["backfill", str(log), f"--to={tmp_path / 'history.om'}"]) == 0

    printed = capsys.readouterr().out
    assert "left out, as older than what was read of their host before: 1" in printed
    assert "there twice, and taken once: 1" in printed


def test_a_last_line_without_newline_counts(tmp_path: Path) -> None:
    """Nothing will complete it."""
    lines = make_log()
    whole, to = tmp_path / "whole.om", tmp_path / "history.om"
    main(["backfill", str(write(tmp_path / "whole", lines)), f"--to={whole}"])
    log = tmp_path / "log"
    log.write_bytes(b"\n".join(lines))

    assert main(["backfill", str(log), f"--to={to}"]) == 0

    assert to.read_text() == whole.read_text()


def test_what_is_of_the_host_is_shown_once_though_there_are_snapshots_of_several_sources(tmp_path: Path) -> None:
    """With the one of system calls; others show what has their source as a label."""
    audit = make_fields(65) | {"evt.source": "k8s_audit"}
    lines = [ALERT % (b"a", b"null", iso(1)), *(make_line(fields, "a") for fields in (make_fields(60), audit))]
    to = tmp_path / "history.om"

    assert main(["backfill", str(write(tmp_path / "log", lines)), f"--to={to}", "--step=0s"]) == 0

    syscall, other = (samples for _, samples in sorted(parse(to.read_text()).items()))
    assert {"falcosecurity_scap_engine_name_info", "falco_enrichment_alerts_total"} <= {name for name, _ in syscall}
    assert all(("source", "k8s_audit") in labels for _, labels in other)


def test_others_may_read_the_file_and_what_is_no_file_is_not_replaced(tmp_path: Path) -> None:
    """Prometheus is another user; a part of a file is never left."""
    log, to, folder = write(tmp_path / "log", make_log()), tmp_path / "history.om", tmp_path / "folder"
    folder.mkdir()

    assert main(["backfill", str(log), f"--to={to}"]) == 0
    assert main(["backfill", str(log), f"--to={folder}"]) == 2

    assert to.stat().st_mode & 0o777 == 0o644
    assert {path.name for path in tmp_path.iterdir()} == {"log", "history.om", "folder"}


def test_a_file_that_is_named_twice_counts_once(tmp_path: Path) -> None:
    """As two globs may."""
    log = str(write(tmp_path / "log", make_log()))
    whole, to = tmp_path / "whole.om", tmp_path / "history.om"
    main(["backfill", log, f"--to={whole}"])

    assert main(["backfill", log, log, f"--to={to}"]) == 0

    assert to.read_text() == whole.read_text()


def test_a_torn_file_is_told_and_nothing_is_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What was packed while it was copied has no end; what is no gzip file is told as well."""
    packed = gzip.compress(b"\n".join(make_log()))
    for content in (packed[: len(packed) // 2], packed[:40] + b"\xff" * 200, b"no gzip file"):
        log = tmp_path / "log.gz"
        log.write_bytes(content)

        assert main(["backfill", str(log), f"--to={tmp_path / 'history.om'}"]) == 2

        assert f"cannot read {log}" in capsys.readouterr().err
        assert [path.name for path in tmp_path.iterdir()] == ["log.gz"]


def test_lines_that_are_too_long_are_left_out_and_counted(tmp_path: Path) -> None:
    """However the block is cut in which they stand."""
    fleet = make_fleet()
    log = write(tmp_path / "log", [*make_log(), b"x" * (1 << 20), b"y" * 5000])

    Reader(fleet, 4096).read([str(log)])

    assert fleet.rejections["oversize"] == 2


def test_a_pipe_is_read_to_its_end(tmp_path: Path) -> None:
    """It cannot be looked at first."""
    pipe, to = tmp_path / "pipe", tmp_path / "history.om"
    os.mkfifo(pipe)
    writer = threading.Thread(target=write, args=(pipe, make_log()))
    writer.start()

    assert main(["backfill", str(pipe), f"--to={to}", "--alerts.enabled=false", "--native.enabled=false"]) == 0

    writer.join()
    names = {name for samples in parse(to.read_text()).values() for name, _ in samples}
    assert "falco_enrichment_snapshot_timestamp_seconds" in names
    assert not [name for name in names if name.startswith(("falcosecurity_", "falco_enrichment_alert"))]


@pytest.mark.parametrize(
    ("lines", "arguments", "told"),
    [
        (make_log(), [], "give files, and where to write"),
        (make_log(), ["--to={log}"], "is one of the files to read"),
        (make_log(), ["--to={folder}/../{folder.name}/log"], "is one of the files to read"),
        (make_log(), ["--to={folder}/none/history.om"], "cannot write"),
        (make_log(), ["--to={folder}/history.om", "{folder}/absent"], "cannot read"),
        (make_log(), ["--to={folder}/history.om", "--step=4"], "--step: give a duration with its unit"),
        ([b"hello"], ["--to={folder}/history.om"], "no snapshot and no alert of Falco"),
        (make_log()[:3], ["--to={folder}/history.om"], "no snapshot of Falco in"),
    ],
)
def test_what_cannot_be_done_is_told_and_nothing_is_left(
    lines: list[bytes], arguments: list[str], told: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2; no file, no part of one; what was there stays."""
    log = write(tmp_path / "log", lines)
    before = log.read_bytes()

    assert main(["backfill", str(log), *[text.format(log=log, folder=tmp_path) for text in arguments]]) == 2

    assert told in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["log"]
    assert log.read_bytes() == before


def test_a_log_that_claims_any_times_gives_a_file_that_prometheus_takes(tmp_path: Path) -> None:
    """Its clock was set, or it is hostile: what is repeated has an end."""
    times = [0, 1, 10**9, START_NS, 2**62, 2**63 - 1, 2**63, 2**64 - 1, 10**30, -1]
    lines = [make_line(make_fields(60) | {"evt.time": at}, "a") for at in times]
    to = tmp_path / "history.om"

    assert main(["backfill", str(write(tmp_path / "log", lines)), f"--to={to}", "--step=1h"]) == 0

    assert len(parse(to.read_text())) < 500


def test_any_number_of_samples_is_sorted_by_series_and_time() -> None:
    """Runs are set aside and merged; names that begin with another one, and labels with spaces and braces."""
    recordings = [Recording(0, run_samples=samples) for samples in (2, 7, 100_000)]
    texts = []
    files_before = len(list(Path("/proc/self/fd").iterdir()))
    for recording in recordings:
        draw = random.Random(5)  # noqa: S311
        for tick in range(50):
            for subject in ("a b", 'c{d="e"} 1', "f\n"):
                if recording.begin(subject, 1000 + tick, 0):
                    for name in draw.sample(("x", "x_total", "x_y", "w"), 3):
                        kind = Kind.COUNTER if name.endswith("_total") else Kind.GAUGE
                        recording.add(name, kind, "Text.", {"of": subject}, tick)
        assert len(list(Path("/proc/self/fd").iterdir())) < files_before + MOST_RUNS + 2
        file = io.BytesIO()
        recording.write(file, end_ms=2000)
        recording.close()
        texts.append(file.getvalue().decode())

    assert texts[0] == texts[1] == texts[2]
    assert sum(map(len, parse(texts[0]).values())) == 50 * 9


def test_a_subject_has_one_sample_a_millisecond() -> None:
    """Prometheus knows no shorter time, and refuses two values for one."""
    recording = Recording(0)
    assert recording.begin("a", 1000, 0)
    assert not recording.begin("a", 1000, 0)
    assert recording.begin("b", 1000, 0)
    assert recording.begin("a", 1001, 0)
