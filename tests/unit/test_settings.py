"""Settings from flags, environment and file: who wins, and what is said of a wrong one."""

import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from falco_enrichment_exporter.errors import SetupError
from falco_enrichment_exporter.loading import load, operands
from falco_enrichment_exporter.loading import read as load_any
from falco_enrichment_exporter.settings import ENV_PREFIX, BackfillSettings, DiagnoseSettings, ServeSettings
from falco_enrichment_exporter.values import parse_address, parse_duration, parse_size, split_commas

TABLE = "--source.thread-table-size"


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.upper().startswith(ENV_PREFIX)]:
        monkeypatch.delenv(name)


@pytest.fixture(scope="module")
def unset() -> ServeSettings:
    """Return settings of which none was given."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.upper().startswith(ENV_PREFIX)]:
            patch.delenv(name)
        return read()


def read(*flags: str) -> ServeSettings:
    """Load settings."""
    return load(flags, prog="exporter serve")


def refusal(*flags: str) -> str:
    """Load settings that are wrong; return what is said."""
    with pytest.raises(SetupError) as caught:
        read(*flags)
    return str(caught.value)


def value_of(settings: ServeSettings, name: str) -> Any:
    """Return one setting by its dotted name."""
    value: Any = settings
    for part in name.split("."):
        value = getattr(value, part)
    return value


def config(directory: Path, text: str | bytes) -> str:
    """Write a settings file; return the flag that names it."""
    path = directory / "config.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return f"--config.file={path}"


# -- values ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("500ms", 0.5), ("1s", 1), ("1.5s", 1.5), ("2m", 120), ("1m30s", 90), ("1h", 3600), ("1h1m1s1ms", 3661.001)],
)
def test_durations_are_read_as_prometheus_writes_them(text: str, seconds: float) -> None:
    """Every unit, and several in a row."""
    assert parse_duration(text) == pytest.approx(seconds)
    assert parse_duration(f" {text} ") == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text", ["", "5", "1.s", ".5s", "s", "-1s", "1 s", "1s 2", "1d", "1S", "1e3s", "1s\n2s", None, 5, []]
)
def test_what_is_no_duration_is_refused(text: object) -> None:
    """A bare number does not say its unit."""
    with pytest.raises(ValueError, match="duration with its unit"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1048576", 1 << 20),
        (1048576, 1 << 20),
        ("1MiB", 1 << 20),
        ("512 KiB", 1 << 19),
        ("1gib", 1 << 30),
        ("2GB", 2 * 10**9),
        ("3mb", 3 * 10**6),
        ("4kB", 4000),
        ("7B", 7),
        ("0", 0),
    ],
)
def test_sizes_are_read_with_and_without_unit(text: object, size: int) -> None:
    """Binary units and decimal ones are not the same."""
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "-1", "1.5MiB", "1M", "MiB", "1 MiB x", "0x10", None, 1.5, [], "1e6"])
def test_what_is_no_size_is_refused(text: object) -> None:
    """A unit that could mean two things is not guessed."""
    with pytest.raises(ValueError, match="size in bytes"):
        parse_size(text)


@pytest.mark.parametrize(
    ("text", "address"),
    [
        (":9377", ("", 9377)),
        (":0", ("", 0)),
        ("127.0.0.1:80", ("127.0.0.1", 80)),
        ("localhost:65535", ("localhost", 65535)),
        ("[::]:9377", ("::", 9377)),
        ("[::1]:1", ("::1", 1)),
        ("[::ffff:10.0.0.1]:1", ("::ffff:10.0.0.1", 1)),
    ],
)
def test_addresses_are_read_as_exporters_take_them(text: str, address: tuple[str, int]) -> None:
    """No host is all interfaces; IPv6 stands in brackets."""
    assert parse_address(text) == address


@pytest.mark.parametrize(
    "text",
    ["", "9377", "host", "host:", ":", ":65536", ":-1", "::1:9377", "[::1]", "[::1]9377", "a:b:1", ":1x", "http://a:1"],
)
def test_what_is_no_address_is_refused(text: str) -> None:
    """The flag is named, and what would be right."""
    said = refusal(f"--web.listen-address={text}")

    assert said.startswith("--web.listen-address: give host:port")


@pytest.mark.parametrize(
    ("value", "parts"),
    [
        ("a,b", ["a", "b"]),
        (" a , b ,", ["a", "b"]),
        ("", []),
        (["a,b", "c"], ["a", "b", "c"]),
        (("a",), ["a"]),
        (5, 5),
        (None, None),
    ],
)
def test_lists_are_split_at_commas(value: object, parts: object) -> None:
    """Repeated and comma-separated mean the same; what is no list is left to be refused."""
    assert split_commas(value) == parts


@given(st.text(max_size=40))
def test_no_text_makes_a_parser_fail_otherwise(text: str) -> None:
    """A parser returns or raises ValueError, which names its flag."""
    for parse in (parse_duration, parse_size, parse_address):
        try:
            parsed: object = parse(text)
        except ValueError:
            parsed = None
        assert parsed is None or isinstance(parsed, float | int | tuple)


# -- where they come from --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "default"),
    [
        ("source.paths", []),
        ("source.thread_table_size", 262144),
        ("source.poll_interval", 1.0),
        ("web.listen_address", ":9377"),
        ("web.telemetry_path", "/metrics"),
        ("native.enabled", True),
        ("native.rules_files", []),
        ("alerts.enabled", True),
        ("limits.max_hosts", 10_000),
        ("limits.max_rules", 1_000),
        ("limits.max_line_bytes", 1 << 20),
        ("log.level", "info"),
        ("log.format", "logfmt"),
        ("thresholds.kernel_drop_ratio.warning", 0.001),
        ("thresholds.kernel_drop_ratio.critical", 0.10),
        ("thresholds.threadtable_full_drops.warning", 0),
        ("thresholds.threadtable_full_drops.critical", 3),
        ("thresholds.threadtable_usage_ratio.warning", 0.8),
        ("thresholds.threadtable_usage_ratio.critical", None),
        ("thresholds.store_drop_ratio.warning", 0.001),
        ("thresholds.store_drop_ratio.critical", None),
        ("thresholds.thread_lookup_failure_ratio.warning", 0.05),
        ("thresholds.thread_lookup_failure_ratio.critical", 0.15),
        ("thresholds.container_missing_image_ratio.warning", 0.05),
        ("thresholds.container_missing_image_ratio.critical", 0.20),
        ("thresholds.output_queue_drops.warning", 0),
        ("thresholds.output_queue_drops.critical", 3),
        ("thresholds.alert_missing_ratio.warning", 0.05),
        ("thresholds.alert_missing_ratio.critical", 0.25),
    ],
)
def test_defaults_are_those_of_the_contract(unset: ServeSettings, name: str, default: object) -> None:
    """Without any setting."""
    assert value_of(unset, name) == default


@pytest.mark.parametrize(
    ("flag", "name", "value"),
    [
        ("--source.paths=a", "source.paths", ["a"]),
        ("--source.paths=a,b", "source.paths", ["a", "b"]),
        ("--source.paths=/var/log/fal[ab]co_*.json,-", "source.paths", ["/var/log/fal[ab]co_*.json", "-"]),
        ("--source.paths=[ab].json", "source.paths", ["[ab].json"]),
        ('--source.paths=/a b/"c".json', "source.paths", ['/a b/"c".json']),
        ("--source.hostname=h", "source.hostname", "h"),
        ("--source.hostname=under_score", "source.hostname", "under_score"),
        ("--source.thread-table-size=5", "source.thread_table_size", 5),
        ("--source.thread_table_size=5", "source.thread_table_size", 5),
        ("--source.poll-interval=250ms", "source.poll_interval", 0.25),
        ("--web.listen-address=[::]:0", "web.listen_address", "[::]:0"),
        ("--web.telemetry-path=/a/b_c", "web.telemetry_path", "/a/b_c"),
        ("--native.enabled=false", "native.enabled", False),
        ("--native.rules-files=a_b.yaml,c.yaml", "native.rules_files", ["a_b.yaml", "c.yaml"]),
        ("--alerts.enabled=false", "alerts.enabled", False),
        ("--limits.max-hosts=1", "limits.max_hosts", 1),
        ("--limits.max_line_bytes=64KiB", "limits.max_line_bytes", 65536),
        ("--log.level=debug", "log.level", "debug"),
        ("--log.format=json", "log.format", "json"),
        ("--thresholds.kernel-drop-ratio.warning=0.5", "thresholds.kernel_drop_ratio.warning", 0.5),
        ("--thresholds.kernel_drop_ratio.critical=1", "thresholds.kernel_drop_ratio.critical", 1),
    ],
)
def test_every_flag_reaches_its_setting(flag: str, name: str, value: object) -> None:
    """In kebab-case or snake_case; values are left as they are."""
    assert value_of(read(flag), name) == value


def test_a_flag_and_its_value_may_be_two_arguments() -> None:
    """With an equals sign or a blank."""
    assert read("--source.thread_table_size", "5", "--source.paths", "a_b,c").source.paths == ["a_b", "c"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["a.log", "-", "--output=json"],
        ["a.log", "--output=json", "-"],
        ["--output", "json", "a.log", "-"],
        ["a.log", "--output", "json", "-"],
    ],
)
def test_a_value_of_a_flag_is_no_file(arguments: list[str]) -> None:
    """Wherever it stands."""
    files, flags = operands(arguments)

    assert files == ["a.log", "-"]
    assert "=".join(flags) == "--output=json"


def test_help_takes_no_value() -> None:
    """Nor does a flag at the end that lacks one."""
    assert operands(["--help", "a.log"]) == (["a.log"], ["--help"])
    assert operands(["a.log", "--output"]) == (["a.log"], ["--output"])


def test_repeated_paths_add_up() -> None:
    """--source.paths may stand several times."""
    assert read("--source.paths=a,b", "--source.paths=c").source.paths == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("variable", "text", "name", "value"),
    [
        ("SOURCE__PATHS", "a, b", "source.paths", ["a", "b"]),
        ("SOURCE__POLL_INTERVAL", "2s", "source.poll_interval", 2),
        ("SOURCE__THREAD_TABLE_SIZE", "7", "source.thread_table_size", 7),
        ("WEB__LISTEN_ADDRESS", "[::]:0", "web.listen_address", "[::]:0"),
        ("NATIVE__ENABLED", "false", "native.enabled", False),
        ("LIMITS__MAX_LINE_BYTES", "2MiB", "limits.max_line_bytes", 2 << 20),
        ("LOG__LEVEL", "error", "log.level", "error"),
        ("THRESHOLDS__KERNEL_DROP_RATIO__WARNING", "0.5", "thresholds.kernel_drop_ratio.warning", 0.5),
    ],
)
def test_every_setting_is_an_environment_variable(
    monkeypatch: pytest.MonkeyPatch, variable: str, text: str, name: str, value: object
) -> None:
    """Prefix, group, two underscores, name."""
    monkeypatch.setenv(ENV_PREFIX + variable, text)

    assert value_of(read(), name) == value


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("source: {paths: [a, 'b,c']}", "source.paths", ["a", "b", "c"]),
        ("source: {paths: 'a,b'}", "source.paths", ["a", "b"]),
        ("source: {thread-table-size: 7}", "source.thread_table_size", 7),
        ("source: {thread_table_size: 7}", "source.thread_table_size", 7),
        ("source: {poll-interval: 2s}", "source.poll_interval", 2),
        ("limits: {max-line-bytes: 2048}", "limits.max_line_bytes", 2048),
        ("limits: {max-line-bytes: 2 KiB}", "limits.max_line_bytes", 2048),
        ("native: {enabled: no}", "native.enabled", False),
        ("thresholds: {kernel-drop-ratio: {warning: 1}}", "thresholds.kernel_drop_ratio.warning", 1),
        ("thresholds: {kernel_drop_ratio: {warning: null}}", "thresholds.kernel_drop_ratio.warning", None),
        ("", "log.level", "info"),
        ("# nothing but a comment\n", "log.level", "info"),
        ("source:\n", "log.level", "info"),
        ("{}", "log.level", "info"),
    ],
)
def test_every_setting_is_a_key_of_the_file(tmp_path: Path, text: str, name: str, value: object) -> None:
    """Keys as the flags, nested at the dots, kebab-case or snake_case."""
    assert value_of(read(config(tmp_path, text)), name) == value


def test_the_environment_may_name_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A container is configured by environment alone."""
    flag = config(tmp_path, "log: {level: error}")
    monkeypatch.setenv(ENV_PREFIX + "CONFIG__FILE", flag.partition("=")[2])

    assert read().log.level == "error"


@pytest.mark.parametrize(
    ("origins", "size"),
    [
        ({"flag", "variable", "file"}, 1),
        ({"flag", "variable"}, 1),
        ({"flag", "file"}, 1),
        ({"variable", "file"}, 2),
        ({"variable"}, 2),
        ({"file"}, 3),
        (set(), 4),
    ],
)
def test_flags_win_over_environment_over_file_over_defaults(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, origins: set[str], size: int
) -> None:
    """The order of the contract; the lowest are the defaults a command gives."""
    flags = [f"{TABLE}=1"] if "flag" in origins else []
    if "variable" in origins:
        monkeypatch.setenv(ENV_PREFIX + "SOURCE__THREAD_TABLE_SIZE", "2")
    if "file" in origins:
        flags.append(config(tmp_path, "source: {thread-table-size: 3}"))

    settings = load(flags, prog="x", defaults={"source": {"thread_table_size": 4}})

    assert settings.source.thread_table_size == size


def test_a_file_does_not_hide_other_settings_of_a_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sources are merged setting by setting, not group by group."""
    monkeypatch.setenv(ENV_PREFIX + "SOURCE__HOSTNAME", "env")
    flags = [config(tmp_path, "source: {thread-table-size: 3}"), "--source.paths=a"]

    source = read(*flags).source

    assert (source.paths, source.hostname, source.thread_table_size) == (["a"], "env", 3)


@pytest.mark.parametrize("origin", ["flag", "variable", "file"])
@pytest.mark.parametrize(("severity", "limits"), [("warning", (0.5, 0.10)), ("critical", (0.001, 0.5))])
def test_a_threshold_of_one_severity_leaves_the_other_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, origin: str, severity: str, limits: tuple[float, float]
) -> None:
    """Who sets one limit did not ask to lose the other one."""
    flags: list[str] = []
    if origin == "flag":
        flags.append(f"--thresholds.kernel-drop-ratio.{severity}=0.5")
    elif origin == "variable":
        monkeypatch.setenv(f"{ENV_PREFIX}THRESHOLDS__KERNEL_DROP_RATIO__{severity.upper()}", "0.5")
    else:
        flags.append(config(tmp_path, f"thresholds: {{kernel-drop-ratio: {{{severity}: 0.5}}}}"))

    thresholds = read(*flags).thresholds

    assert (thresholds.kernel_drop_ratio.warning, thresholds.kernel_drop_ratio.critical) == limits
    assert thresholds.store_drop_ratio.warning == 0.001


def test_thresholds_of_several_origins_are_one(tmp_path: Path) -> None:
    """The flag's limit and the file's limit both count."""
    file = config(tmp_path, "thresholds: {kernel-drop-ratio: {critical: 0.9, warning: 0.1}}")

    limits = read(file, "--thresholds.kernel-drop-ratio.warning=0.5").thresholds.kernel_drop_ratio

    assert (limits.warning, limits.critical) == (0.5, 0.9)


@pytest.mark.parametrize("origin", ["flag", "variable", "file"])
def test_null_takes_a_threshold_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, origin: str) -> None:
    """As the description says, wherever it is given."""
    flags: list[str] = []
    if origin == "flag":
        flags.append("--thresholds.kernel-drop-ratio.critical=null")
    elif origin == "variable":
        monkeypatch.setenv(ENV_PREFIX + "THRESHOLDS__KERNEL_DROP_RATIO__CRITICAL", "null")
    else:
        flags.append(config(tmp_path, "thresholds: {kernel-drop-ratio: {critical: null}}"))

    assert read(*flags).thresholds.kernel_drop_ratio.critical is None


# -- what is said of wrong ones --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flag", "named"),
    [
        ("--source.poll-interval=5", "--source.poll-interval"),
        ("--source.poll-interval=0s", "--source.poll-interval"),
        ("--source.poll-interval=2h", "--source.poll-interval"),
        ("--source.poll-interval=" + "9" * 400 + "s", "--source.poll-interval"),
        ("--source.hostname=", "--source.hostname"),
        ("--source.hostname=" + "x" * 256, "--source.hostname"),
        ("--source.thread-table-size=0", "--source.thread-table-size"),
        ("--source.thread-table-size=1.5", "--source.thread-table-size"),
        ("--source.thread-table-size=many", "--source.thread-table-size"),
        ("--web.telemetry-path=metrics", "--web.telemetry-path"),
        ("--web.telemetry-path=/", "--web.telemetry-path"),
        ("--web.telemetry-path=/-/ready", "--web.telemetry-path"),
        ("--web.telemetry-path=/api/x", "--web.telemetry-path"),
        ("--web.telemetry-path=/ingest", "--web.telemetry-path"),
        ("--web.telemetry-path=/a?b", "--web.telemetry-path"),
        ("--web.telemetry-path=/{a}", "--web.telemetry-path"),
        ("--native.enabled=perhaps", "--native.enabled"),
        ("--limits.max-hosts=0", "--limits.max-hosts"),
        ("--limits.max-rules=-1", "--limits.max-rules"),
        ("--limits.max-line-bytes=1", "--limits.max-line-bytes"),
        ("--limits.max-line-bytes=2GiB", "--limits.max-line-bytes"),
        ("--limits.max-line-bytes=1MB5", "--limits.max-line-bytes"),
        ("--limits.max-line-bytes=" + "9" * 5000, "--limits.max-line-bytes"),
        ("--log.level=loud", "--log.level"),
        ("--log.format=xml", "--log.format"),
        ("--thresholds.kernel-drop-ratio.warning=-1", "--thresholds.kernel-drop-ratio.warning"),
        ("--thresholds.kernel-drop-ratio.warning=nan", "--thresholds.kernel-drop-ratio.warning"),
        ("--thresholds.kernel-drop-ratio.warning=inf", "--thresholds.kernel-drop-ratio.warning"),
        ("--thresholds.kernel-drop-ratio.warning=x", "--thresholds.kernel-drop-ratio.warning"),
        ("--thresholds.no-such.warning=1", "--thresholds.no-such.warning"),
        ("--sorce.paths=a", "--sorce.paths"),
        ("--source.path=a", "--source.path"),
        ("--source.host=a", "--source.host"),
        ("--source.hostname", "--source.hostname"),
        ("falco.json", "falco.json"),
        ("--config.file=/no/such/file", "--config.file"),
        ("--config.file=/dev", "--config.file"),
    ],
)
def test_a_wrong_flag_is_named(flag: str, named: str) -> None:
    """In one line."""
    said = refusal(flag)

    assert named in said
    assert len(said.splitlines()) == 1
    assert len(said) < 600


@pytest.mark.parametrize(
    ("variable", "text", "named"),
    [
        ("SOURCE__POLL_INTERVAL", "5", "--source.poll-interval"),
        ("SOURCE__PTHS", "a", "--source.pths"),
        ("LOG__LEVEL", "loud", "--log.level"),
        ("CONFIG__FILE", "/no/such/file", "--config.file"),
        ("SOURCE", "5", "--source"),
        ("SOURCE", '{"paths":', "--source"),
        ("THRESHOLDS__KERNEL_DROP_RATIO", "5", "--thresholds.kernel-drop-ratio"),
        ("THRESHOLDS__KERNEL_DROP_RATIO", "{", "--thresholds"),
        ("THRESHOLDS__KERNEL_DROP_RATIO__WARNING", "x", "--thresholds.kernel-drop-ratio.warning"),
    ],
)
def test_a_wrong_variable_is_named(monkeypatch: pytest.MonkeyPatch, variable: str, text: str, named: str) -> None:
    """By the flag it stands for."""
    monkeypatch.setenv(ENV_PREFIX + variable, text)

    assert named in refusal()


@pytest.mark.parametrize(
    ("text", "named"),
    [
        pytest.param("source: {poll-interval: 5}", "--source.poll-interval", id="no unit"),
        pytest.param("source: {ptahs: 5}", "--source.ptahs", id="unknown"),
        pytest.param("sorce: {paths: a}", "--sorce", id="unknown group"),
        pytest.param("source: [a]", "--source", id="a list for a group"),
        pytest.param("source: {paths: null}", "--source.paths", id="null"),
        pytest.param("source: {paths: {a: b}}", "--source.paths", id="a mapping for a list"),
        pytest.param("web: {listen-address: 9377}", "--web.listen-address", id="a number for an address"),
        pytest.param("native: {enabled: 7}", "--native.enabled", id="a number for a switch"),
        pytest.param("thresholds: {kernel-drop-ratio: 5}", "--thresholds.kernel-drop-ratio", id="a number for two"),
        pytest.param(
            "thresholds: {kernel-drop-ratio: {warn: 5}}", "--thresholds.kernel-drop-ratio.warn", id="severity"
        ),
        pytest.param("1: {2: 3}", "--1", id="numbers for keys"),
        pytest.param("- a", "--config.file", id="a list"),
        pytest.param("text", "--config.file", id="a text"),
        pytest.param("a: [", "--config.file", id="torn"),
        pytest.param("a: b: c", "--config.file", id="no YAML"),
        pytest.param("a: !!python/object:os.system x", "--config.file", id="a Python object"),
        pytest.param(b"source: {hostname: \xff}", "--config.file", id="not UTF-8"),
        pytest.param("log: {level: 2024-13-45}", "--config.file", id="a date that does not exist"),
        pytest.param("source: &a {paths: *a}", "--", id="a mapping inside itself"),
        pytest.param("source: " + "[" * 1200, "--config.file", id="nested"),
    ],
)
def test_a_wrong_file_is_named_with_its_setting(tmp_path: Path, text: str | bytes, named: str) -> None:
    """Whatever the file holds, it is the operator's to mend: exit code 2, no traceback."""
    assert refusal(config(tmp_path, text)).startswith(named)


@pytest.mark.parametrize("model", [DiagnoseSettings, BackfillSettings])
def test_the_file_and_the_environment_of_serve_are_good_for_the_other_commands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: type[DiagnoseSettings | BackfillSettings]
) -> None:
    """What only ``serve`` has is left alone; what nobody has is refused."""
    text = "source: {paths: [/x], poll_interval: 2s, thread_table_size: 7}\nweb: {telemetry_path: /m}"
    monkeypatch.setenv(f"{ENV_PREFIX}SOURCE__PATHS", "/x")
    monkeypatch.setenv(f"{ENV_PREFIX}STATE__DIRECTORY", "/x")
    monkeypatch.setenv(f"{ENV_PREFIX}LIMITS__MAX_HOSTS", "5")

    settings = load_any(model, [config(tmp_path, text)], prog="exporter")

    assert (settings.source.thread_table_size, settings.limits.max_hosts) == (7, 5)
    with pytest.raises(SetupError, match=r"--source.path: no such setting"):
        load_any(model, [config(tmp_path, "source: {path: /x}")], prog="exporter")
    with pytest.raises(SetupError, match=r"--source.paths=/x: no such setting"):
        load_any(model, ["--source.paths=/x"], prog="exporter")


def test_all_wrong_settings_are_named_at_once() -> None:
    """One line each, so that nobody mends them one by one."""
    said = refusal("--log.level=loud", "--web.telemetry-path=x", "--limits.max-hosts=0").splitlines()

    assert len(said) == 3
    assert {line.partition(":")[0] for line in said} == {"--log.level", "--web.telemetry-path", "--limits.max-hosts"}


def test_help_names_every_setting_with_a_description(capsys: pytest.CaptureFixture[str]) -> None:
    """--help exits 0 and shows each flag."""
    with pytest.raises(SystemExit) as caught:
        read("--help")
    shown = capsys.readouterr().out

    assert caught.value.code == 0
    for group, field in ServeSettings.model_fields.items():
        model = field.annotation
        assert model is not None
        for name, setting in model.model_fields.items():
            flag = f"--{group}.{name}".replace("_", "-")
            assert flag in shown
            assert setting.description or group == "thresholds"
    words = " ".join(shown.split())
    assert "--thresholds.kernel-drop-ratio.warning NUMBER limit for severity warning (default: 0.001)" in words
    assert "--thresholds.output-queue-drops.warning NUMBER limit for severity warning (default: 0)" in words
    assert "--thresholds.store-drop-ratio.critical NUMBER limit for severity critical (default: None)" in words
    assert "factory" not in shown


def test_settings_cannot_be_changed_afterwards() -> None:
    """What was validated stays so."""
    settings = read()
    with pytest.raises(ValueError, match="frozen"):
        settings.source.hostname = "other"
