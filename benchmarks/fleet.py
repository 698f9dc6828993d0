"""A scrape of many hosts: what it costs, and how long others wait for an answer meanwhile.

For comparison prometheus_client writes the same samples, from metric families that are at hand already.
"""

import http.client
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from benchmarks import log
from benchmarks.exporter import Exporter
from benchmarks.process import MIB, BenchmarkError
from benchmarks.report import NONE, Table, spread, times

RECORDS_BY_HOST = 3  # alerts, and as many snapshots
SCRAPES = 5
_PROBE_SECONDS = 0.01


class _Known(Collector):
    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        yield from self._families


@contextmanager
def _probed(port: int) -> Iterator[list[float]]:
    """Ask for its health over and over; the seconds that each answer took."""
    waits: list[float] = []
    is_over = threading.Event()

    def probe() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        while not is_over.wait(_PROBE_SECONDS):
            began = time.monotonic()
            connection.request("GET", "/-/healthy")
            connection.getresponse().read()
            waits.append(time.monotonic() - began)
        connection.close()

    prober = threading.Thread(target=probe)
    prober.start()
    try:
        yield waits
    finally:
        is_over.set()
        prober.join()


def _scrape(exporter: Exporter) -> tuple[float, float, str]:
    """Scrape; its CPU seconds, the longest that a probe waited meanwhile, and the page."""
    before = exporter.cpu_seconds
    with _probed(exporter.port) as waits:
        status, page = exporter.get()
    if status != http.client.OK:
        raise BenchmarkError(f"/metrics answers {status}")
    return exporter.cpu_seconds - before, max(waits, default=0.0), page


def _client_seconds(page: str) -> float:
    """CPU seconds that prometheus_client takes to write these samples."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Known(list(text_string_to_metric_families(page))))
    before = time.process_time()
    generate_latest(registry)
    return time.process_time() - before


def measure(cache: Path, folder: Path, hosts: int) -> Table:
    """Let it read the log of a fleet, then scrape it a few times, before each of which a tenth has news."""
    made = log.ensure(cache, alerts=RECORDS_BY_HOST * hosts, hosts=hosts, snapshot_every=1)
    table = Table(
        f"Scrapes of {hosts} hosts", ["what", "CPU s", "prometheus_client by it", "longest wait ms", "page MiB"]
    )
    with TemporaryDirectory(dir=folder) as own:
        path = Path(own) / "falco.jsonl"
        path.touch()
        with Exporter(Path(own), path) as exporter:
            print("  reading", flush=True)
            read_before = exporter.read_characters
            with made.path.open("rb") as source, path.open("ab") as sink:
                whole = source.read()
                sink.write(whole)
            exporter.wait_until_taken(made.size_bytes, read_before)
            print("  scraping", flush=True)
            first, first_wait, page = _scrape(exporter)
            costs, waits = [], []
            news = whole[: whole.index(b"\n", len(whole) // RECORDS_BY_HOST // 10) + 1]
            for _ in range(SCRAPES):
                read_before = exporter.read_characters
                with path.open("ab") as sink:
                    sink.write(news)
                exporter.wait_until_taken(len(news), read_before)
                cost, wait, _ = _scrape(exporter)
                costs.append(cost)
                waits.append(1000 * wait)
    client, size = _client_seconds(page), f"{len(page) / MIB:.0f}"
    later = "a later one, a tenth of the hosts with new alerts"
    table.add("the first", f"{first:.2f}", times(client, first), f"{1000 * first_wait:.0f}", size)
    table.add(later, spread(costs), times(client, statistics.median(costs)), spread(waits, 0), size)
    table.add("prometheus_client", f"{client:.2f}", "1.0x", NONE, size)
    return table
