"""What a client wants of what there is: the format of the metrics, and whether packed (RFC 9110, section 12.5)."""

import re
from typing import Final

_VERSIONS: Final = frozenset({"0.0.1", "0.0.4", "1.0.0"})
_FORMATS: Final = frozenset({"application/openmetrics-text", "text/plain", "text/*", "*/*"})
_WEIGHT: Final = re.compile(r"[01](?:\.[0-9]{0,3})?")


def _ranges(header: str) -> list[tuple[float, str, dict[str, str]]]:
    """Return what a header accepts, as weight, name and parameters; what is wanted most comes first."""
    found = []
    for item in header.split(","):
        name, *rest = (part.strip() for part in item.split(";"))
        pairs = (part.partition("=") for part in rest)
        parameters = {key.strip().lower(): value.strip().strip('"') for key, _, value in pairs}
        weight = _WEIGHT.fullmatch(parameters.pop("q", "1"))
        if weight is not None:
            found.append((float(weight[0]), name.lower(), parameters))
    return sorted(found, key=lambda item: -item[0])


def wanted_format(accept: str) -> str:
    """Return the one format that is wanted most, for prometheus_client: it takes no weights and no quotes.

    Versions that do not exist are left out: it would fail on them, or claim them.
    """
    for weight, name, parameters in _ranges(accept):
        if weight > 0 and name in _FORMATS and parameters.get("version", "0.0.4") in _VERSIONS:
            return ";".join([name, *(f"{key}={value}" for key, value in parameters.items())])
    return ""


def accepts_gzip(header: str) -> bool:
    """Say whether gzip is wanted, and not less than the page as it is."""
    weights = {name: weight for weight, name, _ in _ranges(header)}
    weight = weights.get("gzip", weights.get("*", 0))
    return 0 < weight >= weights.get("identity", 0)
