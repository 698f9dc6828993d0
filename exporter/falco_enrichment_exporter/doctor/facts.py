"""What is known of a Falco: its settings, its version, its command line, and the host as it sees it."""

import re
import shlex
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from falco_enrichment_exporter.doctor.config import Config, load
from falco_enrichment_exporter.errors import SetupError

Release = tuple[int, int, int]
NEWEST: Final[Release] = (0, 44, 1)

_REMOVED: Final = (
    ("syscall_buf_size_preset", (0, 36, 2)),
    ("rules_file", (0, 37, 1)),
    ("container_engines", (0, 40, 0)),
)
"""Settings that no later release ships, with the last one that does."""
_ADDED: Final = (
    ("rules_files", (0, 38, 0)),
    ("container_engines", (0, 39, 0)),
    ("metrics.jemalloc_stats_enabled", (0, 40, 0)),
    ("json_include_output_fields_property", (0, 41, 0)),
    ("falco_libs.thread_table_auto_purging_interval_s", (0, 42, 0)),
    ("metrics.kernel_iter_event_counters_enabled", (0, 44, 0)),
)
"""Settings that no earlier release ships."""
_PACKAGES: Final = "/var/lib/dpkg/status"


def release_of(text: str) -> Release:
    """Read 0.44.1, 0.44 or 0.44.1-rc1. Raises ValueError."""
    match = re.match(r"v?(\d+)\.(\d+)(?:\.(\d+))?", text)
    if match is None:
        raise ValueError("give Falco's version, such as 0.44.1")
    return int(match[1]), int(match[2]), int(match[3] or 0)


@dataclass(frozen=True, slots=True)
class Arguments:
    """What Falco's command line says of enrichment."""

    options: list[str] = field(default_factory=list)
    cri_sockets: list[str] = field(default_factory=list)
    is_cri_async: bool = True
    printed: str = ""
    """The value of -p: container fields are added to every rule's output."""
    is_kubernetes_client: bool = False
    """-k, -K: the client of the Kubernetes API, removed in 0.37."""

    @classmethod
    def parse(cls, text: str) -> "Arguments":
        """Read a command line as a shell would. Raises SetupError."""
        try:
            words = shlex.split(text)
        except ValueError as error:
            raise SetupError(f"--falco-arguments: {error}") from error
        options, sockets, printed = [], [], ""
        for word, following in zip(words, [*words[1:], ""], strict=False):
            flag, equals, value = word.partition("=")
            if flag in ("-o", "--option"):
                options.append(value if equals and flag == "--option" else following)
            elif flag == "--cri":
                sockets.append(value or following)
            elif flag in ("-p", "--print") or re.fullmatch(r"-p[ckg]\w*", word):
                printed = word[2:] if len(word) > len("-p") and not word.startswith("--") else value or following
        return cls(options, sockets, "--disable-cri-async" not in words, printed, bool({"-k", "-K"} & set(words)))


@dataclass(frozen=True, slots=True)
class Host:
    """The host's files as Falco sees them: under HOST_ROOT; ``is_told``: the user named that root."""

    root: Path
    is_told: bool

    def path(self, name: str) -> Path:
        """Return where a file of the host is; /var/run is /run, also where that link leads nowhere."""
        there = self.root / name.lstrip("/")
        if name.startswith("/var/run/") and not there.exists():
            return self.root / name.removeprefix("/var/").lstrip("/")
        return there

    def text(self, name: str) -> str | None:
        """Read a small file; None if it cannot be read."""
        try:
            return self.path(name).read_text(encoding="utf-8", errors="replace")
        except OSError:
            return None


@dataclass(frozen=True, slots=True)
class Facts:
    """All that the checks look at; ``not_checked`` is what they could not see."""

    config: Config
    host: Host
    arguments: Arguments
    release: Release
    release_known_by: str
    not_checked: list[str]

    def is_since(self, *release: int) -> bool:
        """Say whether Falco is this release or a later one."""
        return self.release >= release

    @property
    def version(self) -> str:
        """The release as text."""
        return ".".join(map(str, self.release))


def gather(path: str, host: Host, arguments: Arguments, version: str | None) -> Facts:
    """Read everything. Raises SetupError."""
    config = load(path, arguments.options)
    if version is not None:
        release, known_by = release_of(version), "--falco-version"
    else:
        release, known_by = _guess(config, host)
    facts = Facts(config, host, arguments, release, known_by, [])
    if known_by.startswith("a guess"):
        facts.not_checked.append(f"Falco's version is {known_by}: give --falco-version")
    facts.not_checked.extend(f"{name} of config_files is not here; Falco passes over it, too" for name in config.absent)
    for name in dict.fromkeys(config.variables):
        facts.not_checked.append(f"${{{name}}}: the variable is not set here; Falco puts its own value in its place")
    return facts


def _guess(config: Config, host: Host) -> tuple[Release, str]:
    """Take the version from Debian's packages, or from settings that only some releases ship."""
    packages = host.text(_PACKAGES) or ""
    match = re.search(r"^Package: falco\n(?:[A-Z].*\n| .*\n)*?Version: (\S+)", packages, re.MULTILINE)
    if match is not None:
        return release_of(match[1]), "the package database of the host"
    known = max((release for path, release in _ADDED if config.value(path) is not None), default=None)
    for path, last in _REMOVED:
        if config.value(path) is not None and (known is None or known <= last):
            return last, f"a guess by {path} in the settings"
    return NEWEST, "a guess, the newest known"
