"""Append lines of a log to a file at a steady rate: `python -m benchmarks.writer FROM TO BYTES_PER_SECOND SECONDS`."""

import sys
import time
from pathlib import Path

PIECES_PER_SECOND = 20


def write(source: Path, target: Path, bytes_per_second: int, seconds: float) -> None:
    """Append until the time is over; the source begins anew at its end."""
    due = time.monotonic()
    end = due + seconds
    with source.open("rb") as log, target.open("ab", buffering=0) as file:
        while time.monotonic() < end:
            piece = log.read(bytes_per_second // PIECES_PER_SECOND) + log.readline()
            if not piece:
                log.seek(0)
            file.write(piece)
            due += 1 / PIECES_PER_SECOND
            time.sleep(max(due - time.monotonic(), 0))


if __name__ == "__main__":
    write(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))
