"""What goes wrong when Falco puts its settings together: files it refuses, blocks that replace each other."""

from collections.abc import Iterator
from typing import Any, Final

import yaml

from falco_enrichment_exporter.doctor.config import Loss
from falco_enrichment_exporter.doctor.facts import Facts
from falco_enrichment_exporter.doctor.finding import Finding, Severity, yaml_of

_OF_ENRICHMENT: Final = frozenset({"metrics", "falco_libs", "base_syscalls", "container_engines"})
_DEFAULTS: Final = {"buf_size_preset": "4", "cpus_for_each_buffer": "2", "drop_failed_exit": "false"}


def check_merging(facts: Facts) -> Iterator[Finding]:
    """Look at how the files came together."""
    for reason in facts.config.refusals:
        yield Finding("falco_refuses", Severity.CRITICAL, "Falco does not start with these settings", reason,
                      "everything: Falco ends with an error", "Take it out")  # fmt: skip
    if facts.config.value("config_files") is not None and not facts.is_since(0, 38):
        yield Finding("config_files_ignored", Severity.WARNING, "This Falco reads no further files of settings",
                      facts.config.told("config_files", "none"), "whatever is set in those files",
                      f"Put all settings into {facts.config.main}, or upgrade Falco to 0.38 or later")  # fmt: skip
    for loss in facts.config.losses:
        if loss.block in _OF_ENRICHMENT or (loss.block == "engine" and _is_tuned(loss.lost)):
            yield _replaced(loss, facts.config.value(loss.block))


def _is_tuned(lost: dict[str, Any]) -> bool:
    parts = [part for part in lost.values() if isinstance(part, dict)]
    return any(part.get(name, usual) != usual for part in parts for name, usual in _DEFAULTS.items())


def _replaced(loss: Loss, kept: Any) -> Finding:
    whole = {**loss.lost, **(kept if isinstance(kept, dict) else {})}
    return Finding(
        f"{loss.block}_replaced", Severity.WARNING, f"The {loss.block} block of one file replaces that of another",
        f"{loss.block} in {loss.earlier}, and again in {loss.file}: Falco merges by root keys only",
        f"{', '.join(loss.lost)} of {loss.earlier}: Falco takes its built-in values, not those of the shipped falco.yaml",
        f"Keep one {loss.block} block, the whole of it in {loss.file}",
        yaml_of(loss.block, _typed(whole)))  # fmt: skip


def _typed(value: Any) -> Any:
    """Give text the type that it has in YAML, so that it is written without quotes, as it stood."""
    if isinstance(value, dict):
        return {key: _typed(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_typed(item) for item in value]
    typed = yaml.safe_load(str(value))
    return typed if isinstance(typed, bool | int | float) else value
