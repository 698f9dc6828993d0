"""How quantities are written for people."""

from typing import Final

_STEPS: Final = ((86400, "d"), (3600, "h"), (60, "m"), (1, "s"))


def duration(seconds: float) -> str:
    """Write a duration with its two largest units: 45s, 3m 20s, 5h 2m, 12d 4h."""
    rest = int(seconds)
    parts: list[str] = []
    for size, unit in _STEPS:
        number, rest = divmod(rest, size)
        if number:
            parts.append(f"{number}{unit}")
        elif parts:
            break
        if len(parts) == 2:  # noqa: PLR2004  two units are enough
            break
    return " ".join(parts) or "0s"
