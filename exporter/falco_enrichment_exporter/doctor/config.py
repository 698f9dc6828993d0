"""falco.yaml as Falco has it in the end: further files merged, variables replaced, options of the command line set.

Source: falco yaml_helper.h and configuration.cpp, 0.38 to 0.44. Values stay text: what Falco makes of them is asked
for by kind.
"""

import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import yaml

from falco_enrichment_exporter.errors import SetupError

STDIN: Final = "-"
FALCO_FOLDER: Final = "/etc/falco"
_INCLUDES: Final = "config_files"
_UNSET: Final = frozenset({"", "~", "null", "Null", "NULL"})
_TRUE: Final = frozenset({"y", "yes", "true", "on"})
_VARIABLE: Final = re.compile(r"(?<!\$)\$\{([^}]*)\}")
_FILE: Final = "falco.yaml"


@dataclass(frozen=True, slots=True)
class Loss:
    """A block that a later file replaced as a whole, and what of the earlier one went with it."""

    block: str
    file: str
    earlier: str
    lost: dict[str, Any]


@dataclass(slots=True)
class Config:
    """The merged settings; ``origins`` names the file each block comes from."""

    main: str
    path: Path
    """Where the main file is; what Falco names under /etc/falco is beside it."""
    document: dict[str, Any] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)
    losses: list[Loss] = field(default_factory=list)
    refusals: list[str] = field(default_factory=list)
    """Why Falco does not start."""
    absent: list[str] = field(default_factory=list)
    """Files of ``config_files`` that are not there; Falco passes over them."""
    variables: list[str] = field(default_factory=list)
    """Variables that are not in this environment."""

    def value(self, path: str) -> Any:
        """Return what is set, text, list or dict; None if nothing is."""
        node: Any = self.document
        for name in path.split("."):
            node = node.get(name) if isinstance(node, dict) else None
        return None if isinstance(node, str) and node in _UNSET else node

    def text(self, path: str, default: str = "") -> str:
        """Return a scalar."""
        value = self.value(path)
        return value if isinstance(value, str) else default

    def flag(self, path: str, *, default: bool) -> bool:
        """Return a boolean, as yaml-cpp reads it."""
        value = self.value(path)
        return value.lower() in _TRUE if isinstance(value, str) else default

    def number(self, path: str) -> float | None:
        """Return a number; None if it is not set or none."""
        try:
            return float(self.text(path))
        except ValueError:
            return None

    def items(self, path: str) -> list[Any]:
        """Return a sequence; a scalar is one item, as in Falco."""
        value = self.value(path)
        return value if isinstance(value, list) else [value] if isinstance(value, str) else []

    def where(self, path: str) -> str:
        """Name the file that has the block of a setting, or would have it."""
        return self.origins.get(path.partition(".")[0], self.main)

    def told(self, path: str, default: str) -> str:
        """Say what is set, or what Falco takes where nothing is."""
        value = self.value(path)
        if value is None:
            return f"{path} is not set in {self.where(path)}, so Falco takes {default}"
        return f"{path}: {value} in {self.where(path)}"


def local(path: str, main: Path) -> Path:
    """Find a file that Falco names: /etc/falco is where the main file is, wherever that was copied to."""
    if path.startswith(FALCO_FOLDER + "/"):
        return main.parent / path.removeprefix(FALCO_FOLDER + "/")
    folder = str(main.absolute().parent)
    root = folder.removesuffix(FALCO_FOLDER) if folder.endswith(FALCO_FOLDER) else ""
    there = Path(root + path)
    return there if there.exists() else Path(path)


def load(path: str, options: list[str]) -> Config:
    """Read and merge; ``options`` are the values of Falco's -o. Raises SetupError for what cannot be read."""
    main = Path(path)
    name = _FILE if path == STDIN else path
    config = Config(name, main)
    document, config_map = _read(path, config)
    _merge(config, document, name, "override")
    includes = [option for option in options if option.startswith(_INCLUDES)]
    _set_options(config, includes)
    for entry in config.items(_INCLUDES):
        _include(config, entry, main, config_map)
    _set_options(config, [option for option in options if option not in includes])
    return config


def _include(config: Config, entry: Any, main: Path, config_map: dict[str, Any]) -> None:
    named, strategy = (entry.get("path"), entry.get("strategy")) if isinstance(entry, dict) else (entry, None)
    if not isinstance(named, str):
        config.refusals.append(f"config_files holds {entry!r}, which names no path")
        return
    there = local(named, main)
    if str(main) == STDIN:
        if config_map:
            config.absent.append(f"{named} (only the ConfigMap is known)")
        else:
            config.absent.append(f"{named} (only standard input is known)")
    elif there == main:
        config.refusals.append(f"config_files holds the main file {named} itself")
    elif there.is_dir():
        for file in sorted((file for file in there.iterdir() if file.is_file()), key=str):
            _take(config, file, str(strategy or ""))
    elif there.exists():
        _take(config, there, str(strategy or ""))
    else:
        config.absent.append(named)


def _take(config: Config, file: Path, strategy: str) -> None:
    document, _ = _read(str(file), config)
    if _INCLUDES in document:
        config.refusals.append(f"{file} is one of config_files and has config_files itself")
    _merge(config, document, str(file), strategy)


def _merge(config: Config, document: dict[str, Any], name: str, strategy: str) -> None:
    """Merge by root keys: a block of a later file takes the place of the whole block of an earlier one."""
    for block, value in document.items():
        before = config.document.get(block)
        if strategy == "add-only" and before is not None:
            continue
        if isinstance(value, list) and isinstance(before, list) and strategy != "override":
            config.document[block] = [*before, *value]
            config.origins[block] += f" and {name}"
            continue
        if isinstance(before, dict):
            kept = value if isinstance(value, dict) else {}
            lost = {key: item for key, item in before.items() if key not in kept}
            if lost:
                config.losses.append(Loss(block, name, config.origins[block], lost))
        config.document[block] = value
        config.origins[block] = name


def _read(path: str, config: Config) -> tuple[dict[str, Any], dict[str, Any]]:
    """Read a file; a ConfigMap that has falco.yaml is taken for it. Return the settings and the ConfigMap's data."""
    try:
        text = sys.stdin.read() if path == STDIN else Path(path).read_text(encoding="utf-8")
        document = yaml.load(text, yaml.BaseLoader)  # noqa: S506  makes nothing but text, lists and dicts
        data = document.get("data") if isinstance(document, dict) and document.get("kind") == "ConfigMap" else None
        if isinstance(data, dict) and _FILE in data:
            document = yaml.load(data[_FILE], yaml.BaseLoader)  # noqa: S506
        if not isinstance(document or {}, dict):
            raise SetupError(f"{path}: Falco's settings are a mapping of names, such as 'json_output: true'")
        settings = {str(block): _replaced(value, config) for block, value in (document or {}).items()}
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise SetupError(f"cannot read {path}: {getattr(error, 'strerror', None) or error}") from error
    except RecursionError as error:
        raise SetupError(f"cannot read {path}: it is nested too deep") from error
    return settings, data if isinstance(data, dict) else {}


def _replaced(value: Any, config: Config) -> Any:
    """Replace ${VARIABLES}; those of another environment are left as they are and noted."""
    if isinstance(value, dict):
        return {str(key): _replaced(item, config) for key, item in value.items()}
    if isinstance(value, list):
        return [_replaced(item, config) for item in value]
    text = str(value)
    config.variables += [name for name in _VARIABLE.findall(text) if name not in os.environ]
    return _VARIABLE.sub(lambda match: os.environ.get(match[1], match[0]), text)


def _set_options(config: Config, options: list[str]) -> None:
    """Set what Falco's -o sets: key.subkey=value, key[n].subkey=value, key[]=value."""
    for option in options:
        path, equals, text = option.partition("=")
        if not equals:
            config.refusals.append(f"-o {option} has no value")
            continue
        value = yaml.load(text, yaml.BaseLoader) if text[:1] in "[{" and text else text  # noqa: S506
        _set(config.document, list(_steps(path)), value)
        config.origins[re.split(r"[.\[]", path, maxsplit=1)[0]] = f"the command line (-o {path})"


def _steps(path: str) -> Iterator[str | int]:
    for name, index in re.findall(r"([^.\[\]]+)|\[(\d*)\]", path):
        yield name or (int(index) if index else -1)


def _set(node: Any, steps: list[str | int], value: Any) -> None:
    for step, following in zip(steps, [*steps[1:], None], strict=True):
        empty: Any = value if following is None else [] if isinstance(following, int) else {}
        if isinstance(step, int):
            if step < 0 or step >= len(node):
                node.append(empty)
                step = -1  # noqa: PLW2901  where it was put
            elif following is None or not isinstance(node[step], type(empty)):
                node[step] = empty
        elif following is None or not isinstance(node.get(step), type(empty)):
            node[step] = empty
        node = node[step]
