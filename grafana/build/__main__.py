"""Write the dashboards: ``make dashboards``; with ``--check`` only say whether they are up to date."""

import sys
from pathlib import Path

import fields
import fleet
import host
import own

TARGET = Path(__file__).parents[1] / "dashboards"


def main() -> int:
    """Write the files; return 1 if there is ``--check`` and one is not up to date."""
    boards = {"fleet": fleet, "host": host, "fields": fields, "exporter": own}
    texts = {f"falco-enrich-{name}.json": module.json() for name, module in boards.items()}
    wrong = [
        name for name, text in texts.items() if not (TARGET / name).exists() or (TARGET / name).read_text() != text
    ]
    if "--check" not in sys.argv:
        TARGET.mkdir(exist_ok=True)
        for name, text in texts.items():
            (TARGET / name).write_text(text)
        return 0
    for name in wrong:
        print(f"{name} is not up to date: make dashboards", file=sys.stderr)
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
