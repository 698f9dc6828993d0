"""Samples with times, in any number, sorted into an OpenMetrics file.

OpenMetrics wants a family in one piece, and in it each series in one piece, oldest sample first; snapshots come host by
host. So samples are sorted outside memory: runs of some ten thousand are sorted and set aside, and merged at the end.
"""

import heapq
from array import array
from bisect import bisect_right
from collections.abc import Iterator
from itertools import groupby
from tempfile import TemporaryFile
from typing import IO, Final

from falco_enrichment_exporter.core.catalog import Kind
from falco_enrichment_exporter.exposition.families import Labels
from falco_enrichment_exporter.exposition.hosts import header, write_labels, write_value

RUN_SAMPLES: Final = 100_000
MOST_RUNS: Final = 64  # each is an open file


class Recording:
    """Collects samples of many subjects; ``begin`` says whose they are, and when.

    What a subject shows stands until it is begun again: it is repeated every ``step_ms``, as scrapes would see it,
    for ``hold_ms`` at most. A step of 0 repeats nothing.
    """

    def __init__(self, step_ms: int, *, run_samples: int = RUN_SAMPLES) -> None:
        self._step_ms = step_ms
        self._run_samples = run_samples
        self._families: dict[str, tuple[Kind, str]] = {}
        self._numbers: dict[object, int] = {}  # of the subjects
        self._times: list[array[int]] = []  # by number, when it was begun
        self._suffix = b""
        self._lines: list[bytes] = []
        self._runs: list[IO[bytes]] = []

    def begin(self, subject: object, at_ms: int, hold_ms: int) -> bool:
        """Say what the next samples are of; False if the subject has samples of that millisecond or a later one."""
        number = self._numbers.setdefault(subject, len(self._times))
        if number == len(self._times):
            self._times.append(array("q"))
        times = self._times[number]
        if times and times[-1] >= at_ms:
            return False
        times.append(at_ms)
        self._suffix = b" %d %d %d\n" % (at_ms, hold_ms, number)
        return True

    def add(self, name: str, kind: Kind, text: str, labels: Labels, value: float) -> None:
        """Add a sample; the first help of a family counts."""
        self._families.setdefault(name, (kind, text))
        self._lines.append(f"{name}{write_labels(labels)} {write_value(value)}".encode() + self._suffix)
        if len(self._lines) >= self._run_samples:
            self._set_aside()

    @property
    def span_ms(self) -> tuple[int, int]:
        """When the first and the last snapshot were; there must be one."""
        return min(times[0] for times in self._times), max(times[-1] for times in self._times)

    def write(self, file: IO[bytes], end_ms: int) -> int:
        """Write everything; nothing is repeated beyond ``end_ms``. Return the number of samples. Raises OSError."""
        gauges = {name for name, (kind, _) in self._families.items() if kind is not Kind.COUNTER}
        samples = 0
        for family, lines in groupby(self._sorted(), key=_family):
            name = family.decode()
            file.write(header(name, *self._families[name], gauges).encode())
            for line in lines:
                series, value, at, hold, number = line.rsplit(b" ", 4)
                for at_ms in self._repeated(int(at), int(hold), int(number), end_ms):
                    file.write(b"%b %b %d.%03d\n" % (series, value, *divmod(at_ms, 1000)))
                    samples += 1
        file.write(b"# EOF\n")
        return samples

    def close(self) -> None:
        """Drop what was set aside."""
        for run in self._runs:
            run.close()

    def _repeated(self, at_ms: int, hold_ms: int, number: int, end_ms: int) -> Iterator[int]:
        yield at_ms
        if self._step_ms:
            times = self._times[number]
            next_at = bisect_right(times, at_ms)
            until = min(at_ms + hold_ms, times[next_at] if next_at < len(times) else end_ms)
            yield from range(at_ms + self._step_ms, until, self._step_ms)

    def _set_aside(self) -> None:
        run = TemporaryFile()  # noqa: SIM115  closed by close()
        if len(self._runs) < MOST_RUNS:
            self._lines.sort(key=_series)
            run.writelines(self._lines)
            self._runs.append(run)
        else:
            run.writelines(self._sorted())
            self.close()
            self._runs = [run]
        run.seek(0)
        self._lines.clear()

    def _sorted(self) -> Iterator[bytes]:
        """Return all lines by series, those of a series in the order in which they came."""
        self._lines.sort(key=_series)
        return heapq.merge(*self._runs, self._lines, key=_series)


def _series(line: bytes) -> bytes:
    return line.rsplit(b" ", 4)[0]


def _family(line: bytes) -> bytes:
    return line.partition(b"{")[0]
