"""Values of settings as people write them: durations, sizes, lists, addresses."""

import re
from typing import Final

_UNITS: Final = {"ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_SIZES: Final = {
    "": 1,
    "b": 1,
    "kib": 1 << 10,
    "mib": 1 << 20,
    "gib": 1 << 30,
    "kb": 1000,
    "mb": 1000**2,
    "gb": 1000**3,
}


def parse_duration(value: object) -> float:
    """Read a duration as Prometheus writes it ("500ms", "1s", "1m30s"); seconds. A bare number is refused."""
    text = str(value).strip()
    if not re.fullmatch(r"(\d+(\.\d+)?(ms|s|m|h))+", text):
        raise ValueError("give a duration with its unit, such as 500ms, 1s or 2m")
    return sum(float(number) * _UNITS[unit] for number, unit in re.findall(r"(\d+(?:\.\d+)?)(ms|s|m|h)", text))


def parse_size(value: object) -> int:
    """Read a size ("1048576", "1MiB", "512 KiB"); bytes."""
    match = re.fullmatch(r"(\d+)\s*([a-z]*)", str(value).strip().lower())
    if match is None or match[2] not in _SIZES:
        raise ValueError("give a size in bytes, or with a unit such as 1MiB")
    return int(match[1]) * _SIZES[match[2]]


def split_commas(value: object) -> object:
    """Read comma-separated text as a list; lists stay lists, their items are split too."""
    items = [value] if isinstance(value, str) else value
    if not isinstance(items, list | tuple):
        return items
    if any("\0" in str(item) for item in items):
        raise ValueError("a path cannot hold a NUL byte")
    return [part.strip() for item in items for part in str(item).split(",") if part.strip()]


def parse_address(value: object) -> tuple[str, int]:
    """Read host:port as Prometheus exporters take it: ":9377" is all interfaces, "[::1]:9377" an IPv6 address."""
    match = re.fullmatch(r"(?:\[(?P<six>[0-9a-fA-F:.]+)\]|(?P<host>[^:\[\]]*)):(?P<port>\d{1,5})", str(value).strip())
    if match is None or int(match["port"]) > 65535:  # noqa: PLR2004  the largest port
        raise ValueError("give host:port, such as :9377, 127.0.0.1:9377 or [::1]:9377")
    return match["six"] or match["host"] or "", int(match["port"])
