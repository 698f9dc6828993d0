"""Every setting of ``serve``: flags, environment, YAML file, defaults, in this order. Validated here alone."""

import os
import re
import socket
from argparse import ArgumentParser, HelpFormatter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    CliSettingsSource,
    EnvSettingsSource,
    InitSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)
from pydantic_settings.exceptions import SettingsError

from falco_enrichment_exporter.errors import SetupError

ENV_PREFIX = "FALCO_ENRICHMENT_"
_UNITS = {"ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_SIZES = {"": 1, "b": 1, "kib": 1 << 10, "mib": 1 << 20, "gib": 1 << 30, "kb": 1000, "mb": 1000**2, "gb": 1000**3}


def parse_duration(value: object) -> float:
    """Read a duration as Prometheus writes it ("500ms", "1s", "1m30s"); seconds. A bare number is refused."""
    text = str(value).strip()
    if not re.fullmatch(r"(\d+(\.\d+)?(ms|s|m|h))+", text):
        raise ValueError("give a duration with its unit, such as 500ms, 1s or 2m")
    return sum(float(number) * _UNITS[unit] for number, unit in re.findall(r"(\d+(?:\.\d+)?)(ms|s|m|h)", text))


def parse_size(value: object) -> int:
    """Read a size ("1048576", "1MiB", "512 KiB"); bytes."""
    match = re.fullmatch(r"(\d+)\s*([a-z]*)", str(value).strip().lower())
    if match is None or match[2] not in _SIZES:
        raise ValueError("give a size in bytes, or with a unit such as 1MiB")
    return int(match[1]) * _SIZES[match[2]]


def split_commas(value: object) -> object:
    """Read comma-separated text as a list; lists stay lists, their items are split too."""
    items = [value] if isinstance(value, str) else value
    if not isinstance(items, list | tuple):
        return items
    if any("\0" in str(item) for item in items):
        raise ValueError("a path cannot hold a NUL byte")
    return [part.strip() for item in items for part in str(item).split(",") if part.strip()]


def parse_address(value: object) -> tuple[str, int]:
    """Read host:port as Prometheus exporters take it: ":9377" is all interfaces, "[::1]:9377" an IPv6 address."""
    match = re.fullmatch(r"(?:\[(?P<six>[0-9a-fA-F:.]+)\]|(?P<host>[^:\[\]]*)):(?P<port>\d{1,5})", str(value).strip())
    if match is None or int(match["port"]) > 65535:  # noqa: PLR2004  the largest port
        raise ValueError("give host:port, such as :9377, 127.0.0.1:9377 or [::1]:9377")
    return match["six"] or match["host"] or "", int(match["port"])


def _telemetry_path(value: str) -> str:
    if not re.fullmatch(r"/[A-Za-z0-9._~/-]+", value) or value.startswith(("/-/", "/api/")) or value == "/ingest":
        raise ValueError("give a path such as /metrics that is not one of /-/*, /api/*, /ingest")
    return value


Duration = Annotated[float, BeforeValidator(parse_duration), Field(ge=0.01, le=3600)]
Size = Annotated[int, BeforeValidator(parse_size)]
PathList = Annotated[list[str], NoDecode, BeforeValidator(split_commas)]
LimitValue = Annotated[
    Annotated[float, Field(ge=0, allow_inf_nan=False)] | None,
    BeforeValidator(lambda value: None if str(value).strip().lower() in ("null", "none") else value),
]


def default_state_directory() -> Path | None:
    """Return $XDG_STATE_HOME/falco-enrichment-exporter; None where there is no home."""
    home = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")  # noqa: PTH111  "~" may stay
    return None if home.startswith("~") else Path(home) / "falco-enrichment-exporter"


class _Group(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SourceSettings(_Group):
    """Where Falco's output comes from."""

    paths: PathList = Field(
        default=[], description="files and globs to follow, comma-separated or repeated; - is stdin"
    )
    hostname: Annotated[str, Field(min_length=1, max_length=255)] = Field(
        default_factory=socket.gethostname, description="name for lines that carry no hostname"
    )
    thread_table_size: Annotated[int, Field(ge=1)] = Field(
        default=262144, description="falco_libs.thread_table_size of your falco.yaml, which no snapshot carries"
    )
    poll_interval: Duration = Field(
        default="1s",
        validate_default=True,
        description="upper bound on noticing a change where the kernel gives no notification",
    )
    notify: bool = Field(default=True, description="be told of changes by the kernel (inotify); false: poll only")


class StateSettings(_Group):
    """What is kept over restarts."""

    directory: Path | None = Field(
        default_factory=default_state_directory, description="where checkpoints are kept; empty: keep none"
    )

    @field_validator("directory", mode="before")
    @classmethod
    def _empty_is_none(cls, value: object) -> object:
        return None if value in ("", None) else value


class ReceiverSettings(_Group):
    """Falco's http_output or falcosidekick's webhook, posted to /ingest."""

    enabled: bool = Field(default=False, description="accept posts on /ingest")
    token_file: Path | None = Field(
        default=None, description="file with the bearer token that posts must carry; read anew for each"
    )
    max_requests_per_second: Annotated[int, Field(ge=1, le=100_000)] = Field(
        default=500, description="posts beyond this rate are answered with 429"
    )


class WebSettings(_Group):
    """The HTTP side."""

    listen_address: Annotated[str, AfterValidator(lambda text: parse_address(text) and text)] = Field(
        default=":9377", description="host:port to listen on; :port is all interfaces, port 0 any free one"
    )
    telemetry_path: Annotated[str, AfterValidator(_telemetry_path)] = Field(
        default="/metrics", description="path of the metrics"
    )


class NativeSettings(_Group):
    """Falco's own metric names."""

    enabled: bool = Field(
        default=True, description="also expose every snapshot field under Falco's own Prometheus names"
    )
    rules_files: PathList = Field(
        default=[], description="Falco rules files, to give rules_matches its true rule name, priority and tags"
    )


class AlertSettings(_Group):
    """Ordinary alerts."""

    enabled: bool = Field(default=True, description="count ordinary alerts; false: look for snapshots only")


class LimitSettings(_Group):
    """How much is kept, whatever is written into the log."""

    max_hosts: Annotated[int, Field(ge=1)] = Field(default=10_000, description="hosts with state of their own")
    max_rules: Annotated[int, Field(ge=1)] = Field(default=1_000, description="rule names with a series of their own")
    max_line_bytes: Annotated[Size, Field(ge=1024, le=1 << 30)] = Field(
        default="1MiB", validate_default=True, description="a longer line is counted and left out"
    )
    max_body_bytes: Annotated[Size, Field(ge=1024, le=1 << 28)] = Field(
        default="1MiB", validate_default=True, description="a larger post to /ingest is refused"
    )


class LogSettings(_Group):
    """The exporter's own log, on stderr."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="debug, info, warning or error"
    )
    format: Literal["logfmt", "json"] = Field(default="logfmt", description="logfmt or json")


class ConfigSettings(_Group):
    """The settings file."""

    file: Path | None = Field(
        default=None, description="YAML file with settings; keys as the flags, nested at the dots"
    )


class Threshold(_Group):
    """Limits of one signal; null takes one away."""

    warning: LimitValue = Field(default=None, description="limit for severity warning")
    critical: LimitValue = Field(default=None, description="limit for severity critical")


def _threshold(warning: float | None, critical: float | None) -> Any:
    return Field(default=Threshold(warning=warning, critical=critical))


class ThresholdSettings(_Group):
    """Exported as falco_enrichment_threshold; rules, page and CLI judge by them. Basis of each: docs/metrics.md."""

    kernel_drop_ratio: Threshold = _threshold(0.001, 0.10)
    threadtable_full_drops: Threshold = _threshold(0, 3)
    threadtable_usage_ratio: Threshold = _threshold(0.8, None)
    store_drop_ratio: Threshold = _threshold(0.001, None)
    thread_lookup_failure_ratio: Threshold = _threshold(0.05, 0.15)
    container_missing_image_ratio: Threshold = _threshold(0.05, 0.20)
    output_queue_drops: Threshold = _threshold(0, 3)
    alert_missing_ratio: Threshold = _threshold(0.05, 0.25)

    @model_validator(mode="before")
    @classmethod
    def _keep_other_limit(cls, data: Any) -> Any:
        """Let a setting of one severity leave the other one's default alone."""
        if not isinstance(data, dict):
            return data
        merged = dict(data)
        for name, value in data.items():
            field = cls.model_fields.get(name)
            if field is not None and isinstance(value, dict):
                merged[name] = field.default.model_dump() | value
        return merged


class ServeSettings(BaseSettings):
    """Follow Falco's output and serve its enrichment health to Prometheus.

    Every setting is also an environment variable (FALCO_ENRICHMENT_ + group + __ + name, such as
    FALCO_ENRICHMENT_SOURCE__PATHS) and a key of the YAML file. Flags win over the environment, the environment over
    the file.
    """

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        cli_kebab_case=True,
        cli_avoid_json=True,
        cli_hide_none_type=True,
        cli_use_class_docs_for_groups=True,
    )
    source: SourceSettings = Field(default_factory=SourceSettings)
    state: StateSettings = Field(default_factory=StateSettings)
    receiver: ReceiverSettings = Field(default_factory=ReceiverSettings)
    web: WebSettings = Field(default_factory=WebSettings)
    native: NativeSettings = Field(default_factory=NativeSettings)
    alerts: AlertSettings = Field(default_factory=AlertSettings)
    limits: LimitSettings = Field(default_factory=LimitSettings)
    log: LogSettings = Field(default_factory=LogSettings)
    config: ConfigSettings = Field(default_factory=ConfigSettings)
    thresholds: ThresholdSettings = Field(default_factory=ThresholdSettings)


def load(arguments: Sequence[str], *, prog: str, defaults: dict[str, Any] | None = None) -> ServeSettings:
    """Read the settings from flags, environment and file. Raises SetupError; exits 0 after ``--help``."""
    flags = [_normal(flag) for flag in arguments]
    parser = _Parser(prog=prog, usage=f"{prog} [--flag=value ...]", formatter_class=_Formatter, allow_abbrev=False)
    parser.description = " ".join((ServeSettings.__doc__ or "").split())
    cli: CliSettingsSource[Any] = CliSettingsSource(ServeSettings, root_parser=parser, cli_parse_args=flags)
    wrong: dict[str, str] = {}
    try:
        path = cli().get("config", {}).get("file") or EnvSettingsSource(ServeSettings)().get("config", {}).get("file")
        document = _read_file(Path(path)) if path else {}
        # A flag of the same group would hide from validation that the file has no mapping there.
        groups = {group for group, values in document.items() if not isinstance(values, dict)}
        wrong = {f"--{group}": "give its settings as a mapping" for group in groups & ServeSettings.model_fields.keys()}
        settings = _with_file(document, defaults or {})(_cli_settings_source=cli)  # type: ignore[call-arg]
    except ValidationError as error:
        wrong = dict(_explain(item) for item in error.errors()) | wrong
    except SettingsError as error:
        name = re.search(r'field "(\w+)"', str(error))
        which = f"--{name[1]} ({ENV_PREFIX}{name[1].upper()}): " if name else ""
        raise SetupError(f"{which}not JSON; better one variable for each setting, see --help") from error
    if wrong:
        raise SetupError("\n".join(f"{flag}: {reason}" for flag, reason in wrong.items()))
    return settings


def _with_file(document: dict[str, Any], defaults: dict[str, Any]) -> type[ServeSettings]:
    class Sourced(ServeSettings):
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
            return init_settings, env_settings, file, fallback

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
    def error(self, message: str) -> NoReturn:
        """Refuse flags in one line instead of a page of usage."""
        hint = message.removeprefix("unrecognized arguments: ")
        text = f"{hint}: no such setting" if hint != message else message
        raise SetupError(f"{text}; see {self.prog} --help")


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
