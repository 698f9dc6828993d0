"""Write the shipped alert rules, the Alertmanager example and the dashboards to a folder."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from falco_enrichment_exporter import loading
from falco_enrichment_exporter.errors import SetupError
from falco_enrichment_exporter.settings import DASHBOARDS_URL, RUNBOOKS_URL, AssetSettings
from falco_enrichment_exporter.shipped import shipped

PROG: Final = "falco-enrichment-exporter assets"


def run(arguments: Sequence[str]) -> int:
    """Write the files, the links in them changed; return 0. Raises SetupError."""
    folders, flags = loading.operands(arguments)
    settings = loading.read(AssetSettings, flags, prog=PROG, operand="DIR")
    if len(folders) != 1:
        raise SetupError(f"give one folder to write to: {PROG} /etc/falco-enrichment")
    for name, source in shipped().items():
        target = Path(folders[0]) / name
        text = source.read_text(encoding="utf-8")
        text = text.replace(RUNBOOKS_URL, settings.runbook_base_url.rstrip("/"))
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text.replace(DASHBOARDS_URL, settings.dashboard_base_url.rstrip("/")), encoding="utf-8")
        except OSError as error:
            raise SetupError(f"cannot write {target}: {error.strerror}") from error
        print(target)  # noqa: T201  this is its output
    print(  # noqa: T201
        "Load one of the rule files: falco-enrichment.rules.yml with this exporter, falco-native.rules.yml without it.",
        file=sys.stderr,
    )
    return 0
