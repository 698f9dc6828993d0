"""Every setting of ``serve``, its default and what it may be. Validated here alone."""

import os
import re
import socket
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    SettingsConfigDict,
)

from falco_enrichment_exporter.core.alerts import Limits
from falco_enrichment_exporter.doctor.facts import release_of
from falco_enrichment_exporter.values import parse_address, parse_duration, parse_size, split_commas

ENV_PREFIX = "FALCO_ENRICHMENT_"
RUNBOOKS_URL = "https://falco-enrichment.example.com/runbooks"
DASHBOARDS_URL = "https://grafana.example.com"
"""What stands in the shipped files."""


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


class HostSettings(_Group):
    """What the input does not say of its hosts."""

    hostname: Annotated[str, Field(min_length=1, max_length=255)] = Field(
        default_factory=socket.gethostname,
        description="name for lines that carry no hostname; the machine's, if not given",
    )
    thread_table_size: Annotated[int, Field(ge=1)] = Field(
        default=262144, description="falco_libs.thread_table_size of your falco.yaml, which no snapshot carries"
    )


class SourceSettings(HostSettings):
    """Where Falco's output comes from."""

    paths: PathList = Field(
        default=[], description="files and globs to follow, comma-separated or repeated; - is stdin"
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
        default_factory=default_state_directory,
        description="where checkpoints are kept, $XDG_STATE_HOME/falco-enrichment-exporter if not given"
        " ($XDG_STATE_HOME is ~/.local/state by default); empty: keep none",
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
    config_file: Path | None = Field(
        default=None, description="TLS and passwords: a web configuration file of Prometheus' exporter-toolkit"
    )
    runbook_base_url: Annotated[str, Field(pattern=r"^(https?://\S*)?$")] = Field(
        default="", description="where docs/runbooks is served; the status page links to it"
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
    max_fields: Annotated[int, Field(ge=1)] = Field(default=200, description="alert fields with a series of their own")
    max_line_bytes: Annotated[Size, Field(ge=1024, le=1 << 30)] = Field(
        default="1MiB", validate_default=True, description="a longer line is counted and left out"
    )
    max_body_bytes: Annotated[Size, Field(ge=1024, le=1 << 28)] = Field(
        default="1MiB", validate_default=True, description="a larger post to /ingest is refused"
    )

    @property
    def of_fleet(self) -> Limits:
        """The limits of what is known about hosts."""
        return Limits(max_hosts=self.max_hosts, max_rules=self.max_rules, max_fields=self.max_fields)


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
    """Exported as falco_enrichment_threshold; rules, page and CLI judge by them. What each is of: docs/metrics.md."""

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


Objective = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]


class ObjectiveSettings(_Group):
    """Exported as falco_enrichment_objective_ratio: the share of a domain's fields that are to be present."""

    container_image: Objective = Field(default=0.99, description="objective for container images")
    kubernetes: Objective = Field(default=0.99, description="objective for pods and namespaces")
    user_name: Objective = Field(default=0.99, description="objective for users and groups")
    process_tree: Objective = Field(default=0.95, description="objective for parents and ancestors")
    process: Objective = Field(default=0.99, description="objective for the process itself")


_CONFIG = SettingsConfigDict(
    env_prefix=ENV_PREFIX,
    env_nested_delimiter="__",
    extra="forbid",
    frozen=True,
    cli_kebab_case=True,
    cli_avoid_json=True,
    cli_hide_none_type=True,
    cli_use_class_docs_for_groups=True,
)


class DiagnoseSettings(BaseSettings):
    """Read Falco's output once, and say what is degraded, why, and what to do next.

    Give files, or - for standard input, before or after the settings. Exit code: 0 nothing is wrong, 1 something is, 2
    the input cannot be used.
    """

    model_config = _CONFIG
    output: Literal["text", "json"] = Field(default="text", description="text or json")
    source: HostSettings = Field(default_factory=HostSettings)
    limits: LimitSettings = Field(default_factory=LimitSettings)
    config: ConfigSettings = Field(default_factory=ConfigSettings)
    thresholds: ThresholdSettings = Field(default_factory=ThresholdSettings)


class BackfillSettings(BaseSettings):
    """Turn old output of Falco's into OpenMetrics with times: the past that Prometheus has not scraped.

    Give files, or - for standard input, before or after the settings, in any order. Prometheus shows what promtool
    makes of the result (promtool tsdb create-blocks-from openmetrics) as if it had scraped it. Series by rule have no
    host, and are left out. Exit code: 0 written, 2 not.
    """

    model_config = _CONFIG
    to: Path | None = Field(default=None, description="file to write; it is replaced")
    step: Annotated[float, BeforeValidator(parse_duration), Field(le=86_400)] = Field(
        default="4m",
        validate_default=True,
        description="repeat what a snapshot shows so often until the next one, for three intervals at most:"
        " Prometheus takes a sample to stand for five minutes; 0s: show it at its own time alone",
    )
    source: HostSettings = Field(default_factory=HostSettings)
    native: NativeSettings = Field(default_factory=NativeSettings)
    alerts: AlertSettings = Field(default_factory=AlertSettings)
    limits: LimitSettings = Field(default_factory=LimitSettings)
    config: ConfigSettings = Field(default_factory=ConfigSettings)


class DoctorSettings(BaseSettings):
    """Review what decides whether Falco's enrichment works: its settings, its rules, what it sees of the host.

    Nothing is changed, and Falco need not run. Exit code: 0 nothing is wrong, 1 something is, 2 the input cannot be
    used.
    """

    model_config = _CONFIG
    falco_config: str = Field(
        default="/etc/falco/falco.yaml",
        description="falco.yaml, or a ConfigMap that has it; - is standard input. What it names under /etc/falco is"
        " looked for beside it",
    )
    host_root: str | None = Field(
        default=None, description="where Falco sees the host's root, /host in most containers; $HOST_ROOT, else /"
    )
    falco_version: str | None = Field(
        default=None, description="such as 0.44.1, where neither the host's packages nor the settings tell it"
    )
    falco_arguments: str = Field(
        default="", description="Falco's command line, such as '-pk -o json_output=true'; -o, -p, --cri are looked at"
    )
    output: Literal["text", "json"] = Field(default="text", description="text or json")
    config: ConfigSettings = Field(default_factory=ConfigSettings)

    @field_validator("falco_version")
    @classmethod
    def _is_version(cls, value: str | None) -> str | None:
        if value is not None:
            release_of(value)
        return value


class AssetSettings(BaseSettings):
    """Write the shipped alert rules, the Alertmanager example and the dashboards to a folder.

    Give the folder, before or after the settings. Exit code: 0 written, 2 not.
    """

    model_config = _CONFIG
    runbook_base_url: str = Field(default=RUNBOOKS_URL, description="where docs/runbooks is served, for runbook_url")
    dashboard_base_url: str = Field(default=DASHBOARDS_URL, description="address of your Grafana, for dashboard_url")
    config: ConfigSettings = Field(default_factory=ConfigSettings)


class ServeSettings(BaseSettings):
    """Follow Falco's output and serve its enrichment health to Prometheus.

    Every setting is also an environment variable (FALCO_ENRICHMENT_ + group + __ + name, such as
    FALCO_ENRICHMENT_SOURCE__PATHS) and a key of the YAML file. Flags win over the environment, the environment over
    the file.
    """

    model_config = _CONFIG
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
    objectives: ObjectiveSettings = Field(default_factory=ObjectiveSettings)
