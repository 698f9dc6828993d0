"""Where the shipped alert rules and dashboards are: in the wheel, or in the checkout that is installed editable."""

from pathlib import Path
from typing import Final

PACKED: Final = Path(__file__).parent / "assets"
CHECKOUT: Final = Path(__file__).parents[2]
FOLDERS: Final = ("alerts/rules", "alerts/alertmanager", "grafana/dashboards", "grafana/provisioning")


def shipped() -> dict[str, Path]:
    """Return every shipped file, by its path below the folder that it is written to."""
    root = PACKED if PACKED.is_dir() else CHECKOUT
    files = [file for folder in FOLDERS for file in sorted((root / folder).rglob("*")) if file.is_file()]
    return {str(file.relative_to(root)): file for file in files}
