"""Names and units of snapshot fields, brought from those of any Falco since 0.35 to those of 0.44 in base units."""

import math
import re
from functools import lru_cache
from typing import Any, Final

from falco_enrichment_exporter.core import catalog

Number = int | float
Fields = dict[str, Number | str]

UNREADABLE: Final = ""
_NUMBERS: Final = frozenset(field.key for field in catalog.FIELDS if field.kind is not catalog.Kind.INFO)
_NUMBER: Final = re.compile(r"-?[0-9]{1,24}(?:\.[0-9]{1,24})?(?:[eE][+-]?[0-9]{1,3})?")
_TEXT_PREFIXES: Final = (
    "evt.hostname", "evt.source", "falco.hostname", "falco.version", "falco.kernel_release", "falco.sha256_",
    "falco.host_netinfo.", "scap.engine_name",
)  # fmt: skip
_MEMORY_PREFIXES: Final = ("falco.memory_", "falco.host_memory_", "falco.container_memory_", "falco.jemalloc.")


def canonical(raw: dict[str, Any]) -> Fields:
    """Bring the names and units of any Falco from 0.35 on to those of 0.44 in base units.

    Falco's gRPC output prints every value as text, ``evt.time`` included, and forwarders quote long integers: such
    numbers are read back. A field that is a number and holds none is ``UNREADABLE``: unknown, where a field that is
    left out may be zero. So are negative ones, and gauges that a subtraction has taken below zero into 2^64. Other
    values that are neither text nor a finite number are left out.
    """
    is_all_text = isinstance(raw.get("evt.time"), str)
    memory_unit = _memory_unit(raw)
    fields: Fields = {}
    for key, value in raw.items():
        name, factor = _base_unit(key, memory_unit)
        kind = type(value)
        if factor == 1 and (kind is int or kind is float) and 0 <= value < 1 << 63:  # most are
            fields[name] = value
            continue
        is_number = name in _NUMBERS
        may_be_number = is_number or kind is not str or (is_all_text and not key.startswith(_TEXT_PREFIXES))
        known = number(value) if may_be_number else None
        scaled = known if known is None or factor == 1 else number(known * factor)
        if is_number and not _is_possible(name, scaled):
            fields[name] = UNREADABLE
        elif scaled is not None:
            fields[name] = scaled
        elif kind is str:
            fields[name] = value
    return fields


def _is_possible(name: str, value: Number | None) -> bool:
    return value is not None and 0 <= value < (1 << 64 if name in catalog.COUNTER_KEYS else 1 << 63)


@lru_cache(maxsize=4096)
def _base_unit(key: str, memory_unit: int | None) -> tuple[str, int]:
    if key in catalog.ALIASES:
        return catalog.ALIASES[key], 1
    ambiguous = catalog.AMBIGUOUS_MEMORY.get(key)
    if ambiguous is not None:
        return ambiguous[0], memory_unit or ambiguous[1]
    if key.startswith(_MEMORY_PREFIXES):
        if key.endswith("_mb"):
            return key[:-3] + "_bytes", 1 << 20
        if key.endswith("_kb"):
            return key[:-3] + "_bytes", 1 << 10
    return key, 1


def _memory_unit(raw: dict[str, Any]) -> int | None:
    """Tell the unit of 0.35 to 0.37's memory fields: bytes per MiB, or None when each has its own unit.

    The keys do not say whether ``convert_memory_to_mb`` was on. Falco maps hundreds of MiB, far less than 64 GiB and
    far more than 64 MiB, so the size of the number does.
    """
    virtual = number(raw.get("falco.memory_vsz"))
    if virtual is not None:
        return 1 << 20 if virtual < 1 << 16 else None
    resident = number(raw.get("falco.memory_rss"))
    return 1 << 20 if resident is None or resident < 1 << 12 else None


def number(value: object) -> Number | None:
    """Read a finite number that fits into 64 bits, also one that is printed as text; None if it is none."""
    if isinstance(value, bool):
        return None
    if isinstance(value, str):
        if not _NUMBER.fullmatch(value):
            return None
        value = float(value) if any(c in value for c in ".eE") else int(value)
    if isinstance(value, int):
        return value if -(1 << 63) <= value < 1 << 64 else None
    return value if isinstance(value, float) and math.isfinite(value) else None
