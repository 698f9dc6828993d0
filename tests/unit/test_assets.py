"""The shipped files are written as they are, with the links that the user gives."""

from pathlib import Path

import pytest
import yaml

from falco_enrichment_exporter import cli
from falco_enrichment_exporter.shipped import shipped


def test_everything_is_written_with_the_users_links(tmp_path: Path) -> None:
    """Rules stay rules."""
    assert (
        cli.main(["assets", str(tmp_path), "--runbook-base-url=https://wiki/rb/", "--dashboard-base-url=https://g"])
        == 0
    )

    written = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert written == set(shipped())
    rules = yaml.safe_load((tmp_path / "alerts/rules/falco-enrichment.rules.yml").read_text())
    told = [rule["annotations"] for group in rules["groups"] for rule in group["rules"] if "alert" in rule]
    assert all(link["runbook_url"].startswith("https://wiki/rb/falco") for link in told)
    assert all(link["dashboard_url"].startswith("https://g/d/falco-enrich-") for link in told)


@pytest.mark.parametrize("arguments", [[], ["a", "b"], ["/proc/nowhere"]])
def test_where_to_must_be_said(arguments: list[str]) -> None:
    """Exit code 2."""
    assert cli.main(["assets", *arguments]) == 2
