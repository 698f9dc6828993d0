"""Snapshots made by hand for tests: the smallest that mean something, every number given."""

import json
from typing import Any

from falco_enrichment_exporter.core.alerts import Limits
from falco_enrichment_exporter.core.fleet import Fleet
from falco_enrichment_exporter.core.records import Record, decode

SECOND = 10**9
START_NS = 1_700_000_000 * SECOND


def make_fleet(**more: Any) -> Fleet:
    """Return an empty fleet."""
    settings: dict[str, Any] = {"default_hostname": "default", "thread_table_size": 262144, "limits": Limits()}
    return Fleet(**(settings | more))


def make_fields(at: float, **counters: Any) -> dict[str, Any]:
    """Return the fields of a syscall snapshot ``at`` seconds after Falco's start; underscores twice stand for a dot."""
    fields = {
        "evt.hostname": "node",
        "evt.source": "syscall",
        "evt.time": START_NS + int(at * SECOND),
        "falco.version": "0.44.1",
        "falco.start_ts": START_NS,
        "falco.reload_ts": START_NS - 1,
        "falco.duration_sec": int(at),
        "falco.num_evts": int(at * 1000),
        "scap.engine_name": "modern_bpf",
    }
    given = {key.replace("__", "."): value for key, value in counters.items()}
    return {key: value for key, value in (fields | given).items() if value is not None}


def make_line(fields: dict[str, Any], hostname: str | None = "node") -> bytes:
    """Return the alert-like line of a snapshot, or the file-shape line if ``hostname`` is None."""
    if hostname is None:
        return json.dumps({"output_fields": fields, "sample": 1}).encode()
    line = {
        "hostname": hostname,
        "output": "Falco metrics snapshot",
        "output_fields": fields,
        "priority": "Informational",
        "rule": "Falco internal: metrics snapshot",
        "source": "internal",
    }
    return json.dumps(line).encode()


def make_snapshot(at: float, hostname: str | None = "node", **counters: Any) -> Record:
    """Return a decoded snapshot."""
    return decode(make_line(make_fields(at, **counters), hostname))


def make_alert(fields: dict[str, Any]) -> Record:
    """Return a decoded alert with these fields."""
    line = {"hostname": "node", "source": "syscall", "rule": "R", "priority": "Notice", "output_fields": fields}
    return decode(json.dumps(line).encode())
