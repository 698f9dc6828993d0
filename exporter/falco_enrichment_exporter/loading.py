"""Read the settings: flags, environment, YAML file, defaults, in this order; and say in a line what is wrong."""

import re
from argparse import ArgumentParser, HelpFormatter
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import yaml
from pydantic import ValidationError
from pydantic_settings import (
    BaseSettings,
    CliSettingsSource,
    EnvSettingsSource,
    InitSettingsSource,
    PydanticBaseSettingsSource,
)
from pydantic_settings.exceptions import SettingsError

from falco_enrichment_exporter.errors import SetupError
from falco_enrichment_exporter.settings import ENV_PREFIX, ServeSettings, ThresholdSettings

S = TypeVar("S", bound=BaseSettings)


def load(
    arguments: Sequence[str], *, prog: str, defaults: dict[str, Any] | None = None, about: str = ""
) -> ServeSettings:
    """Read the settings of ``serve`` from flags, environment and file. Raises SetupError; exits 0 after ``--help``."""
    return read(ServeSettings, arguments, prog=prog, defaults=defaults, about=about)


def read(
    model: type[S],
    arguments: Sequence[str],
    *,
    prog: str,
    defaults: dict[str, Any] | None = None,
    about: str = "",
    operand: str = "",
) -> S:
    """Read the settings of a model; keys of the file that belong to other commands are left alone.

    ``--help`` says ``about``, else what the model says of itself, and what ``operand`` goes before the flags.
    """
    flags = [_normal(flag) for flag in arguments]
    usage = " ".join(filter(None, [prog, operand, "[--flag=value ...]"]))
    parser = _Parser(prog=prog, usage=usage, formatter_class=_Formatter, allow_abbrev=False)
    parser.description = about or " ".join((model.__doc__ or "").split())
    cli: CliSettingsSource[Any] = CliSettingsSource(model, root_parser=parser, cli_parse_args=flags)
    wrong: dict[str, str] = {}
    try:
        path = cli().get("config", {}).get("file") or EnvSettingsSource(model)().get("config", {}).get("file")
        document = _own(model, _read_file(Path(path))) if path else {}
        # A flag of the same group would hide from validation that the file has no mapping there.
        groups = {group for group, values in document.items() if not isinstance(values, dict)}
        wrong = {f"--{group}": "give its settings as a mapping" for group in groups & model.model_fields.keys()}
        settings = _with_file(model, document, defaults or {})(_cli_settings_source=cli)
    except ValidationError as error:
        wrong = dict(_explain(item) for item in error.errors()) | wrong
    except SettingsError as error:
        name = re.search(r'field "(\w+)"', str(error))
        which = f"--{name[1]} ({ENV_PREFIX}{name[1].upper()}): " if name else ""
        raise SetupError(f"{which}not JSON; better one variable for each setting, see --help") from error
    if wrong:
        raise SetupError("\n".join(f"{flag}: {reason}" for flag, reason in wrong.items()))
    return settings


def _own(model: type[BaseSettings], values: dict[str, Any]) -> dict[str, Any]:
    """Leave out what ``serve`` has and this command has not, groups and settings: both are given the same file."""
    own: dict[str, Any] = {}
    for group, given in values.items():
        if group in model.model_fields or group not in ServeSettings.model_fields:
            foreign = _names(ServeSettings, group) - _names(model, group)
            is_group = isinstance(given, dict)
            own[group] = {name: value for name, value in given.items() if name not in foreign} if is_group else given
    return own


def _names(model: type[BaseSettings], group: str) -> set[str]:
    field = model.model_fields.get(group)
    return set(getattr(field.annotation, "model_fields", ())) if field is not None else set()


def operands(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """Tell operands, such as files, from flags and their values: ``--output json`` is the same as ``--output=json``."""
    found: list[str] = []
    flags: list[str] = []
    rest = iter(arguments)
    for argument in rest:
        if argument == "-" or not argument.startswith("-"):
            found.append(argument)
        elif "=" in argument or argument in ("-h", "--help"):
            flags.append(argument)
        else:
            flags += [argument, *islice(rest, 1)]
    return found, flags


def _with_file(model: type[S], document: dict[str, Any], defaults: dict[str, Any]) -> type[S]:
    class Sourced(model):  # type: ignore[valid-type,misc]
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003  the signature is pydantic's
            file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            file, fallback = InitSettingsSource(settings_cls, document), InitSettingsSource(settings_cls, defaults)
            environment = InitSettingsSource(settings_cls, _own(model, env_settings()))
            return init_settings, environment, file, fallback

    return Sourced


def _read_file(path: Path) -> dict[str, Any]:
    try:
        document = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise SetupError(f"--config.file: cannot read {path}: {error}") from error
    if document is None:
        return {}
    if not isinstance(document, dict):
        raise SetupError(f"--config.file: {path} must be a mapping of groups, such as 'source: {{paths: [...]}}'")
    try:
        return {
            str(group).replace("-", "_"): _snake(values) for group, values in document.items() if values is not None
        }
    except RecursionError as error:
        raise SetupError(f"--config.file: {path} contains itself") from error


def _snake(values: Any) -> Any:
    if not isinstance(values, dict):
        return values
    return {str(name).replace("-", "_"): _snake(value) for name, value in values.items()}


def _normal(argument: str) -> str:
    """Take --thresholds.kernel_drop_ratio.warning for --thresholds.kernel-drop-ratio.warning."""
    if not argument.startswith("--"):
        return argument
    flag, equals, value = argument.partition("=")
    return flag.replace("_", "-") + equals + value


def _explain(item: Any) -> tuple[str, str]:
    """Say which setting is wrong, and why."""
    flag = "--" + ".".join(str(part) for part in item["loc"] if not isinstance(part, int)).replace("_", "-")
    if item["type"] == "extra_forbidden":
        return flag, "no such setting; see --help for all of them"
    reason = item["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
    return flag, f"{reason[:1].lower()}{reason[1:]} (got {str(item['input'])[:200]!r})"


class _Parser(ArgumentParser):
    """Says the defaults of settings, which pydantic-settings looks for in the wrong place if they are in a group."""

    def format_help(self) -> str:
        """Write the help."""
        defaults = _defaults()
        for action in self._actions:
            known = defaults.get(action.option_strings[0][2:]) if action.option_strings else None
            if action.help and "(default factory: " in action.help:
                action.help = action.help.partition(" (default factory: ")[0]
            elif action.help and known is not None:
                action.help = action.help.replace("(default: None)", f"(default: {known:g})")
        return super().format_help()

    def error(self, message: str) -> NoReturn:
        """Refuse flags in one line instead of a page of usage."""
        hint = message.removeprefix("unrecognized arguments: ")
        text = f"{hint}: no such setting" if hint != message else message
        raise SetupError(f"{text}; see {self.prog} --help")


def _defaults() -> dict[str, float]:
    """Return the thresholds that are set, by flag."""
    return {
        f"thresholds.{signal}.{severity}".replace("_", "-"): limit
        for signal, limits in ThresholdSettings().model_dump().items()
        for severity, limit in limits.items()
        if limit is not None
    }


_METAVARS = {
    "bool": "true|false",
    "int": "N",
    "float": "NUMBER",
    "str": "TEXT",
    "list[str]": "PATH,...",
    "Path": "FILE",
}


class _Formatter(HelpFormatter):
    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=34, width=110)

    def _metavar_formatter(self, action: Any, default_metavar: str) -> Any:
        known = _METAVARS.get(str(action.metavar))
        inner = super()._metavar_formatter(action, default_metavar)
        return inner if known is None else lambda size: (known,) * size
