"""Write the alert rules as PrometheusRule objects for the Prometheus Operator: ``make rules``. CI checks for drift."""

import sys
from pathlib import Path

RULES = Path(__file__).parent / "rules"
TARGET = Path(__file__).parents[1] / "deploy" / "kubernetes"
HEADER = """# Generated from alerts/rules/{name} by `make rules`. Give it the labels that your Prometheus selects.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: {stem}
  labels:
    app.kubernetes.io/name: falco-enrichment-exporter
spec:
"""


def generated() -> dict[Path, str]:
    """Return the text of every file, by path: the rules as they stand, two spaces to the right."""
    files = {}
    for source in sorted(RULES.glob("*.rules.yml")):
        stem = source.name.removesuffix(".rules.yml")
        lines = source.read_text().splitlines()
        body = lines[lines.index("groups:") :]
        text = HEADER.format(name=source.name, stem=stem) + "".join(f"  {line}\n" if line else "\n" for line in body)
        files[TARGET / f"prometheusrule-{stem}.yaml"] = text
    return files


def main() -> int:
    """Write the files; return 1 if there is ``--check`` and one is not up to date."""
    wrong = [path for path, text in generated().items() if not path.exists() or path.read_text() != text]
    if "--check" not in sys.argv:
        for path, text in generated().items():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return 0
    for path in wrong:
        print(f"{path} is not up to date: make rules", file=sys.stderr)
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
