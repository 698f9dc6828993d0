"""Falco rules files read for one purpose: the labels of ``falcosecurity_falco_rules_matches_total``.

A snapshot prints a rule's name with all but ``[A-Za-z0-9_:]`` replaced, and no priority, source or tags.
"""

import re
from pathlib import Path
from typing import Any

import yaml

from falco_enrichment_exporter.errors import SetupError
from falco_enrichment_exporter.exposition.families import Labels

PRIORITIES = ("emergency", "alert", "critical", "error", "warning", "notice", "informational", "debug")


def sanitize(rule: str) -> str:
    """Turn a rule's name into what a snapshot prints. Source: falco_utils.cpp, sanitize_rule_name."""
    return re.sub(r"_+", "_", re.sub(r"[^a-zA-Z0-9_:]", "_", rule)).removesuffix("_")


def read_rules(paths: list[Path]) -> dict[str, Labels]:
    """Map sanitised names to Falco's labels; files in Falco's order: later definitions win, appended tags add.

    Raises SetupError for a file that is missing or is not a list of Falco rules.
    """
    rules: dict[str, dict[str, Any]] = {}
    for path in paths:
        for item in _items(path):
            known = rules.setdefault(item["rule"], {})
            override = item.get("override") or {}
            tags = item.get("tags") or []
            if item.get("append") is True or override.get("tags") == "append":
                known["tags"] = [*known.get("tags", []), *tags]
            elif "tags" in item or ("condition" in item and not override):
                known["tags"] = tags  # a rule that is written anew without tags has none
            known |= {key: item[key] for key in ("priority", "source") if key in item}
    return {sanitize(name): _labels(name, rule) for name, rule in rules.items()}


def _items(path: Path) -> list[dict[str, Any]]:
    where = f"--native.rules-files: {path}"
    try:
        document = yaml.load(path.read_bytes(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506  safe both
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise SetupError(f"{where}: cannot be read as Falco rules: {error}") from error
    if not isinstance(document, list):
        raise SetupError(f"{where}: not a list of Falco rules")
    items = [item for item in document if isinstance(item, dict) and isinstance(item.get("rule"), str)]
    for item in items:
        if not isinstance(item.get("tags") or [], list) or not isinstance(item.get("override") or {}, dict):
            raise SetupError(f"{where}: rule {item['rule']!r}: tags must be a list, override a mapping")
    return items


def _labels(name: str, rule: dict[str, Any]) -> Labels:
    labels = {"rule_name": name, "source": str(rule.get("source") or "syscall")}
    priority = str(rule.get("priority", "")).lower()
    matches = [number for number, word in enumerate(PRIORITIES) if priority and word.startswith(priority)]
    if len(matches) == 1:
        labels["priority"] = str(matches[0])
    for tag in rule.get("tags") or []:
        labels["tag_" + re.sub(r"[^a-zA-Z0-9_]", "_", str(tag))] = "true"
    return labels
