"""Which fields the rules put into alerts: only those can be judged, and only those can be missing."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from falco_enrichment_exporter.core.domains import Domain, domain_of
from falco_enrichment_exporter.doctor.config import local
from falco_enrichment_exporter.doctor.facts import Facts
from falco_enrichment_exporter.doctor.finding import Finding, Severity

MOST_NAMES: Final = 5
_FIELD: Final = re.compile(r"%([a-z0-9_.]+(?:\[[^\]]*\])?)")
_CONTAINER_INFO: Final = "container.info"
_TOLD: Final = {
    Domain.CONTAINER_IMAGE: "container.*",
    Domain.KUBERNETES: "k8s.*",
    Domain.USER_NAME: "user.* and group.*",
    Domain.PROCESS_TREE: "proc.pname and proc.aname",
    Domain.PROCESS: "proc.*",
}


@dataclass(slots=True)
class Rule:
    """A rule of system calls: the fields of its output."""

    name: str
    output: str
    is_enabled: bool = True

    @property
    def domains(self) -> set[Domain]:
        """What its fields are about."""
        fields = _FIELD.findall(self.output)
        found = {domain for field in fields if (domain := domain_of(field)) is not None}
        return found | ({Domain.CONTAINER_IMAGE} if _CONTAINER_INFO in fields else set())


def check_rules(facts: Facts) -> Iterator[Finding]:
    """Look at the rules' outputs, and at what is appended to all of them."""
    rules = [rule for rule in read_rules(facts).values() if rule.is_enabled]
    if not rules:
        facts.not_checked.append("the fields that rules output: no file of rules_files is here")
    if _appends(facts):
        return
    yield from _check_suggested(facts, rules)
    for domain in (Domain.USER_NAME, Domain.PROCESS_TREE):
        if rules and not any(domain in rule.domains for rule in rules):
            yield Finding(f"rules_without_{domain}", Severity.WARNING, f"No rule outputs {_TOLD[domain]}",
                          f"{len(rules)} rules, such as {_names(rules)}", f"any sign of lost {_TOLD[domain]} in alerts",
                          f"Add {_TOLD[domain]} to the output of the rules, or with append_output")  # fmt: skip


def _check_suggested(facts: Facts, rules: list[Rule]) -> Iterator[Finding]:
    without = [rule for rule in rules if Domain.CONTAINER_IMAGE not in rule.domains]
    if not rules or len(without) < len(rules):
        return
    if facts.is_since(0, 40):
        fix, text = "Append what the container plugin suggests", "append_output:\n  - suggested_output: true\n"
    else:
        fix, text = "Start Falco with -pc (with -pk on Kubernetes)", ""
    yield Finding("containers_not_output", Severity.WARNING, "No alert says which container it is about",
                  f"{facts.config.told('append_output', 'nothing')}; {len(rules)} rules output no container.*, such as"
                  f" {_names(without)}",
                  "container.* and k8s.* of alerts: neither a responder nor this exporter can see that they are lost",
                  f"{fix}, in {facts.config.where('append_output')}" if text else fix, text)  # fmt: skip


def _appends(facts: Facts) -> bool:
    """Say whether container fields are put into every alert."""
    for entry in facts.config.items("append_output"):
        text = str(entry)
        is_for_all = isinstance(entry, dict) and not entry.get("match")
        if is_for_all and (str(entry.get("suggested_output")).lower() == "true" or "container." in text):
            return True
    return bool(facts.arguments.printed)


def _names(rules: list[Rule]) -> str:
    return ", ".join(f'"{rule.name}"' for rule in rules[:MOST_NAMES])


def read_rules(facts: Facts) -> dict[str, Rule]:
    """Read the rules of system calls, as later files change them; what cannot be read is noted."""
    rules: dict[str, Rule] = {}
    named = [*facts.config.items("rules_files"), *facts.config.items("rules_file")]
    for file in (file for name in named if isinstance(name, str) for file in _files(local(name, facts.config.path))):
        try:
            entries = yaml.load(file.read_text(encoding="utf-8"), yaml.BaseLoader)  # noqa: S506
        except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
            facts.not_checked.append(f"the rules of {file}: {str(error).splitlines()[0]}")
            continue
        for entry in entries if isinstance(entries, list) else []:
            if isinstance(entry, dict) and isinstance(entry.get("rule"), str):
                _take(rules, entry)
    return rules


def _files(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(file for file in path.iterdir() if file.suffix in (".yaml", ".yml") and file.is_file())
    return [path] if path.is_file() else []


def _take(rules: dict[str, Rule], entry: dict[str, Any]) -> None:
    """Take a rule, or a change to one: a later rule of the same name, append, override, enabled."""
    name, override = entry["rule"], entry.get("override")
    known = rules.get(name)
    if "output" in entry:
        how = override.get("output") if isinstance(override, dict) else "replace"
        if known is not None and how == "append":
            known.output += " " + str(entry["output"])
        elif known is not None and override:
            known.output = str(entry["output"])
        elif str(entry.get("source", "syscall")) == "syscall":
            known = rules[name] = Rule(name, str(entry["output"]))
    if known is not None and "enabled" in entry:
        known.is_enabled = str(entry["enabled"]).lower() == "true"
