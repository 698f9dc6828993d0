"""One line of Falco's output to what it means: Snapshot | Alert | Other | Rejection.

Only the decoded top-level ``rule`` and ``source`` decide whether a JSON line is a snapshot: a command line inside an
alert may quote anything. Line shapes: Falco's stats_writer.cpp and falco_outputs.cpp, tags 0.35 to 0.44.
"""

import re
from datetime import UTC, datetime
from operator import attrgetter
from typing import Any, Final

import msgspec

from falco_enrichment_exporter.core import catalog
from falco_enrichment_exporter.core.lines import Block
from falco_enrichment_exporter.core.units import Fields, canonical, number

SNAPSHOT_RULE: Final = "Falco internal: metrics snapshot"
INTERNAL_SOURCE: Final = "internal"
INTERNAL_RULE: Final = "Falco internal:"
PRIORITIES: Final = {
    name.lower(): name
    for name in ("Emergency", "Alert", "Critical", "Error", "Warning", "Notice", "Informational", "Debug")
}
MAX_FIELDS: Final = 4096
MAX_NAME_CHARS: Final = 255


class Snapshot(msgspec.Struct, frozen=True, gc=False):
    """One metrics snapshot. ``hostname`` is the envelope's (None: it has none); keys of ``fields`` are canonical."""

    at_ns: int
    source: str
    hostname: str | None
    event_hostname: str | None
    fields: Fields


class Alert(msgspec.Struct, frozen=True, gc=False):
    """One ordinary alert. ``fields`` is None if Falco wrote none (``json_include_output_fields_property: false``)."""

    hostname: str | None
    source: str
    rule: str
    priority: str
    fields: dict[str, Any] | None = None


class Other(msgspec.Struct, frozen=True, gc=False):
    """A line that is rightly neither: a text alert, a log line of Falco itself, another internal message."""


class Rejection(msgspec.Struct, frozen=True, gc=False):
    """A line that cannot be used, and why (a fixed word, fit for a label)."""

    reason: str


Record = Snapshot | Alert | Other | Rejection
OTHER: Final = Other()


class Head(msgspec.Struct, gc=False):
    """A line as Falco writes it. In the order of Falco's keys, which saves the decoder a search."""

    hostname: str | None = None
    output_fields: dict[str, Any] | None = None
    priority: str | None = None
    rule: str | None = None
    sample: int | None = None
    source: str | None = None
    time: msgspec.Raw = msgspec.Raw()


class _LooseHead(msgspec.Struct, gc=False):
    """The same for lines that others wrote: a wrong type in one field must not make the whole line unreadable."""

    rule: Any = None
    source: Any = None
    hostname: Any = None
    priority: Any = None
    sample: Any = None
    time: msgspec.Raw = msgspec.Raw()
    output_fields: msgspec.Raw = msgspec.Raw()


_HEAD: Final = msgspec.json.Decoder(Head)
_LOOSE_HEAD: Final = msgspec.json.Decoder(_LooseHead)
_RULE: Final = attrgetter("rule")
_OBJECT: Final = msgspec.json.Decoder(dict[str, Any])
_TEXT_SNAPSHOT: Final = re.compile(
    rb"(?:\d{4}-\d\d-\d\dT)?\d\d:\d\d:\d\d\.\d{1,9}(?:[+-]\d{4})?: Informational Falco metrics snapshot \("
)
_PAIR: Final = re.compile(rb"([^\s=\"()]{1,512})=(\"(?:[^\"\\]|\\.)*\"|[^\s\"()]+)(?: |\)$)")
_ISO_TIME: Final = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:?\d\d)")
_START: Final = re.compile(rb"(?<!:)\{\"(?:hostname|output|output_fields|priority|rule|sample|source|time)\":")
_ERRORS: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError)


def decode(line: bytes) -> Record:
    """Decode one complete line as Falco wrote it (no newline, no collector's envelope)."""
    if line[:1] != b"{":
        match = _TEXT_SNAPSHOT.match(line)
        return _text_snapshot(line, match.end()) if match is not None else OTHER
    try:
        return classify(_HEAD.decode(line))
    except _ERRORS:
        return _decode_loosely(line)


def decode_all(line: bytes) -> list[Record]:
    """Decode a complete line, and make the best of one on which several objects stand.

    Falco wrote whole objects on one line at times (falco issue 827): each counts. A writer that was killed leaves the
    start of an object, and the next one goes on behind it: the torn start is rejected, the object behind it counts.
    In JSON a quote inside a text is escaped, so no text can look like the start of an object.
    """
    record = decode(line)
    if not isinstance(record, Rejection) or record.reason != "bad_json":
        return [record]
    try:
        return [classify(head) for head in _HEAD.decode_lines(line)]
    except _ERRORS:
        start = max((match.start() for match in _START.finditer(line, 1)), default=0)
        last = decode(line[start:]) if start else record
        return [record] if isinstance(last, Rejection) else [Rejection("glued"), last]


def decode_block(block: Block) -> list[Head] | None:
    """Decode a block of plain JSON lines of Falco at once; None if any of them is something else.

    The heads refer to the block: use them before it changes.
    """
    if not begins_with_object(block):
        return None
    try:
        heads = _HEAD.decode_lines(block.view())
    except _ERRORS:
        return None
    is_falco = None not in map(_RULE, heads) or all(head.rule is not None or head.sample is not None for head in heads)
    return heads if is_falco else None


def begins_with_object(block: Block) -> bool:
    """Say whether an object begins with a block, and goes on in the same line.

    Objects that are spread over lines, as ``jq`` prints them, are rejected line by line, wherever a block begins. One
    between whole ones counts: to look for its newlines would cost a twenty-fifth of all reading.
    """
    return block.data.startswith(b'{"', block.start)


def _decode_loosely(line: bytes) -> Record:
    """Decode a line with a wrong type, or with invalid UTF-8: Falco copies raw argv bytes at times."""
    try:
        loose = _LOOSE_HEAD.decode(line.decode("utf-8", "replace").encode())
    except _ERRORS:
        return Rejection("bad_json")
    if loose.rule is not None and not isinstance(loose.rule, str):
        return Rejection("not_falco")
    fields, is_readable = _object(loose.output_fields)
    record = classify(
        Head(
            rule=loose.rule,
            source=_text(loose.source),
            hostname=_text(loose.hostname),
            priority=_text(loose.priority),
            sample=loose.sample if isinstance(loose.sample, int) else None,
            time=loose.time,
            output_fields=fields,
        )
    )
    return record if is_readable or not isinstance(record, Rejection) else Rejection("bad_json")


def classify(head: Head) -> Record:
    """Say what a line is, by its top level."""
    if head.rule is None:
        if head.sample is None:
            return Rejection("not_falco")
        # falco -s FILE before 0.35: event counters only, nothing about enrichment
        return OTHER if head.output_fields is None else _json_snapshot(head)
    if head.rule == SNAPSHOT_RULE and head.source in (INTERNAL_SOURCE, None):
        return _json_snapshot(head)
    if not is_alert(head):
        return OTHER
    return alert_of(head.hostname, head.source, head.priority, head.rule, head.output_fields)


def is_alert(head: Head) -> bool:
    """Say whether a line is an ordinary alert, as ``classify`` does."""
    return head.rule is not None and head.source != INTERNAL_SOURCE and not is_internal(head.rule)


def is_internal(rule: str) -> bool:
    """Say whether a rule is none: Falco gives its own messages such names."""
    return rule.startswith(INTERNAL_RULE)


def alert_of(
    hostname: str | None,
    source: str | None,
    priority: str | None,
    rule: str | None,
    fields: dict[str, Any] | None = None,
) -> Alert:
    """Make an alert of what Falco wrote."""
    return Alert(
        hostname=_name(hostname),
        source=_name(source) or catalog.SYSCALL,  # Falco wrote no source before 0.32
        rule=(rule or "")[:MAX_NAME_CHARS],
        priority=PRIORITIES.get((priority or "").lower(), "unknown"),
        fields=fields,
    )


def time_ns(line: bytes) -> int:
    """Return the time of a line of Falco's in nanoseconds since 1970; 0 if it has none."""
    try:
        return _iso_ns(_LOOSE_HEAD.decode(line).time) or 0
    except _ERRORS:
        return 0


def _json_snapshot(head: Head) -> Record:
    if head.output_fields is None:
        return Rejection("no_fields")
    return _snapshot(head.output_fields, _name(head.hostname), head.time)


def _object(raw: msgspec.Raw) -> tuple[dict[str, Any] | None, bool]:
    """Decode an object; None for anything else. An object that cannot be read is empty, and False says so."""
    if bytes(memoryview(raw)[:1]) != b"{":
        return None, True
    try:
        return _OBJECT.decode(raw), True
    except _ERRORS:
        return {}, False


def _text_snapshot(line: bytes, start: int) -> Record:
    fields: dict[str, Any] = {}
    try:
        while start < len(line):
            pair = _PAIR.match(line, start)
            if pair is None:
                return Rejection("bad_text_snapshot")
            fields[pair[1].decode("utf-8", "replace")] = msgspec.json.decode(pair[2])
            start = pair.end()
    except _ERRORS:
        return Rejection("bad_text_snapshot")
    # A complete text snapshot ends with the parenthesis that the last pair has consumed.
    return _snapshot(fields, None, msgspec.Raw()) if line.endswith(b")") else Rejection("bad_text_snapshot")


def _snapshot(raw: dict[str, Any], hostname: str | None, time: msgspec.Raw) -> Record:
    at_ns = int(number(raw.get("evt.time")) or _iso_ns(time) or 0)
    if not 0 < at_ns < 1 << 63:
        return Rejection("no_time")
    source = _name(raw.get("evt.source"))
    if source is None:
        return Rejection("no_source")
    if len(raw) > MAX_FIELDS:
        return Rejection("too_many_fields")
    fields = canonical(raw)
    event_hostname = _name(fields.get("evt.hostname"))
    return Snapshot(at_ns=at_ns, source=source, hostname=hostname, event_hostname=event_hostname, fields=fields)


def _name(value: object) -> str | None:
    return value[:MAX_NAME_CHARS] if isinstance(value, str) and value else None


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _iso_ns(raw: msgspec.Raw) -> int | None:
    match = _ISO_TIME.fullmatch(bytes(raw).decode("ascii", "replace").strip('"'))
    if match is None:
        return None
    try:
        moment = datetime.fromisoformat(match[1] + match[3]).astimezone(UTC)
    except (ValueError, OverflowError):
        return None
    return int(moment.timestamp()) * 10**9 + int((match[2] or "0").ljust(9, "0"))
