"""Every field of every labelled alert gets the verdict that a person gave it."""

import json
from pathlib import Path
from typing import Any

import pytest

from falco_enrichment_exporter.core.completeness import judge
from falco_enrichment_exporter.core.evidence import evidence_of

CORPUS = Path(__file__).parent.parent / "data" / "completeness"


def _entries() -> list[Any]:
    return [
        pytest.param(entry["alert"], entry["verdicts"], id=f"{path.stem}-{number}: {entry['about']}"[:100])
        for path in sorted(CORPUS.glob("*.jsonl"))
        for number, entry in enumerate(map(json.loads, path.read_text().splitlines()), 1)
    ]


def judged(fields: dict[str, Any]) -> dict[str, list[str]]:
    """Judge the fields of an alert; in the corpus' form."""
    verdicts = judge(evidence_of(fields))
    return {v.field: [part for part in (v.domain.value, v.outcome.value, v.detail) if part] for v in verdicts}


@pytest.mark.parametrize(("alert", "verdicts"), _entries())
def test_a_field_is_judged_as_a_person_judges_it(alert: dict[str, Any], verdicts: dict[str, list[str]]) -> None:
    """All fields of the alert, and no others."""
    shown = alert["output_fields"] if alert["source"] == "syscall" else {}
    assert judged(shown) == verdicts
