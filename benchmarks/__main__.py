"""Run the benchmarks: `make bench`, `make bench ARGS='--only idle'`, `python -m benchmarks --help`. No network."""

import argparse
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks import fleet, follow, idle, latency, log, memory, peers, reading, versions
from benchmarks.process import BenchmarkError, allow_many_files
from benchmarks.report import Table, machine

CACHE = Path(__file__).parent / ".cache"
SECTIONS = ("reading", "follow", "idle", "latency", "memory", "fleet")


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--only", action="append", choices=SECTIONS, help="run this section; may be repeated")
    parser.add_argument(
        "--against", type=Path, metavar="DIR", help="only read with this and with another checkout in turn"
    )
    parser.add_argument("--runs", type=int, default=3, help="runs of reading and following; the median counts")
    parser.add_argument("--alerts", type=int, default=750_000, help="alerts in the log; 750000 are 1 GB")
    parser.add_argument("--idle-seconds", type=float, default=30, help="how long nothing happens")
    parser.add_argument("--writes", type=int, default=250, help="writes of which the way to the scrape is timed")
    parser.add_argument("--scrape-seconds", type=float, default=30, help="how long the log grows by 10 MB/s")
    parser.add_argument("--line-bytes", type=int, default=1_000_000_000, help="size of the line without an end")
    parser.add_argument("--hosts", type=int, default=10_000, help="hosts of the fleet that is scraped")
    parser.add_argument("--cache", type=Path, default=CACHE, help="folder for the log and all that is written")
    return parser.parse_args()


def sections(options: argparse.Namespace, made: log.Log, folder: Path) -> dict[str, Callable[[], Table]]:
    """Return how to run each section that is wanted."""
    if options.against is not None:
        return {"versions": lambda: versions.measure(made, folder, options.against, options.runs)}
    known: dict[str, Callable[[], Table]] = {
        "reading": lambda: reading.measure(made, folder, options.runs),
        "follow": lambda: follow.measure(made, folder, options.runs),
        "idle": lambda: idle.measure(made, folder, options.idle_seconds),
        "latency": lambda: latency.measure(made, folder, options.writes, options.scrape_seconds),
        "memory": lambda: memory.measure(made, folder, options.line_bytes),
        "fleet": lambda: fleet.measure(options.cache, folder, options.hosts),
    }
    return {name: run for name, run in known.items() if options.only is None or name in options.only}


def main() -> int:
    """Run what was asked for; 1 if a program had a wrong result."""
    options = arguments()
    allow_many_files()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that what was started is ended
    print(machine(), flush=True)
    if peers.MTAIL is None:
        print("mtail is not installed (Debian's package mtail): its rows and ratios are left out")
    made = log.ensure(options.cache, alerts=options.alerts)
    has_failed = False
    with TemporaryDirectory(dir=options.cache, prefix="run-") as folder:
        for name, run in sections(options, made, Path(folder)).items():
            print(f"{name} ...", flush=True)
            try:
                table = run()
                print(f"\n{table}", flush=True)
            except BenchmarkError as error:
                print(f"{name} has FAILED: {error}", flush=True)
                has_failed = True
    return int(has_failed)


if __name__ == "__main__":
    sys.exit(main())
