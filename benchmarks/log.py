"""The log that everything reads: made once, kept in the cache, with a file that tells what it holds."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import generate

SNAPSHOT_EVERY = 1000
NEEDLE = b'"rule":"Falco internal: metrics snapshot"'
_STATES = {None: "null", "": "empty", "<NA>": "na"}
Truth = dict[str, Any]


@dataclass(frozen=True)
class Log:
    """A log, and what it holds."""

    path: Path
    truth: Truth

    @property
    def size_bytes(self) -> int:
        """How long it is."""
        return int(self.truth["bytes"])

    @property
    def gigabytes(self) -> float:
        """How long it is, for costs by GB."""
        return self.size_bytes / 1e9

    @property
    def alerts(self) -> int:
        """How many ordinary alerts it holds."""
        return int(self.truth["alerts"])

    @property
    def snapshots(self) -> int:
        """How many snapshots it holds."""
        return int(self.truth["snapshots"])

    def states(self, name: str) -> dict[str, int]:
        """Say in how many alerts a field is there, is there without a value ("missing"), or is absent."""
        counts = self.truth["missing"][name]
        missing = counts["null"] + counts["empty"] + counts["na"]
        return {"present": counts["present"], "missing": missing, "absent": counts["absent"]}

    def pieces(self, size_bytes: int) -> Iterator[bytes]:
        """Yield its content in pieces of about this size that end with a line, over and over."""
        while True:
            with self.path.open("rb") as file:
                while piece := file.read(size_bytes):
                    yield piece + file.readline()


def ensure(cache: Path, *, alerts: int, hosts: int = 8, seed: int = 7, snapshot_every: int = SNAPSHOT_EVERY) -> Log:
    """Return the log of these options, from the cache if it is there."""
    path = cache / f"falco-{alerts}-{hosts}-{seed}.jsonl"
    truth_path = path.with_suffix(".truth.json")
    if not truth_path.exists() or not path.exists():
        print(f"making {path} (once)", flush=True)
        cache.mkdir(parents=True, exist_ok=True)
        _write(path, truth_path, alerts=alerts, hosts=hosts, seed=seed, every=snapshot_every)
    log = Log(path, json.loads(truth_path.read_text()))
    if path.stat().st_size != log.size_bytes:
        raise SystemExit(f"{path} is damaged: delete it and start again")
    return log


def _write(path: Path, truth_path: Path, *, alerts: int, hosts: int, seed: int, every: int) -> None:
    truth: Truth = {"alerts": 0, "snapshots": 0, "bytes": 0, "rules": {}, "last": {}}
    truth["missing"] = {
        name: dict.fromkeys(("null", "empty", "na", "absent", "present"), 0) for name in generate.WATCHED
    }
    unfinished = path.with_suffix(".unfinished")
    with unfinished.open("wb") as file:
        for line, fields, is_snapshot in generate.records(alerts, hosts, seed, every):
            encoded = generate.encode(line)
            file.write(encoded)
            truth["bytes"] += len(encoded)
            _note(truth, line, fields, is_snapshot=is_snapshot)
    unfinished.rename(path)
    truth_path.write_text(json.dumps(truth, indent=1))


def _note(truth: Truth, line: generate.Fields, fields: generate.Fields, *, is_snapshot: bool) -> None:
    if is_snapshot:
        truth["snapshots"] += 1
        truth["last"][line["hostname"]] = {name: fields[name] for name in generate.LAST}
        return
    truth["alerts"] += 1
    truth["rules"][line["rule"]] = truth["rules"].get(line["rule"], 0) + 1
    for name, counts in truth["missing"].items():
        counts[_STATES.get(fields[name], "present") if name in fields else "absent"] += 1


def warm(log: Log) -> None:
    """Have the log in the page cache, so that nobody waits for the disk."""
    for _, _piece in zip(range(0, log.size_bytes, 1 << 20), log.pieces(1 << 20), strict=False):
        pass
