"""The plain way in Python: decode every line with the json module; count snapshots, and alerts by rule."""

import json
import sys
from collections import Counter
from pathlib import Path


def main() -> None:
    snapshots, alerts, last = 0, Counter[tuple[str, str, str]](), {}
    with Path(sys.argv[1]).open("rb") as file:
        for line in file:
            record = json.loads(line)
            if record["rule"] == "Falco internal: metrics snapshot":
                snapshots += 1
                last[record["hostname"]] = record["output_fields"]
            else:
                alerts[record["hostname"], record["rule"], record["priority"]] += 1
    print(snapshots, alerts.total())


if __name__ == "__main__":
    main()
