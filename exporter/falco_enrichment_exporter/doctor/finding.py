"""What a check says: a precondition that is not met."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

import yaml


class Severity(StrEnum):
    """How much is lost: most of the evidence, some of it, or a detail."""

    CRITICAL = "critical"
    WARNING = "warning"
    INFO = "info"


SEVERITIES: Final = tuple(Severity)


@dataclass(frozen=True, slots=True)
class Finding:
    """One precondition that is not met.

    ``set`` says what is set and where, ``breaks`` which fields or numbers are lost by it, ``fix`` what to do,
    ``yaml`` the lines to write, empty where no setting helps.
    """

    id: str
    severity: Severity
    title: str
    set: str
    breaks: str
    fix: str
    yaml: str = ""


def yaml_of(path: str, value: Any) -> str:
    """Write a setting such as ``metrics.enabled`` as YAML."""
    for name in reversed(path.split(".")):
        value = {name: value}
    return str(yaml.safe_dump(value, sort_keys=False, default_flow_style=False))
