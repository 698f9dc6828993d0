"""The exporter's own log: one event is one line, whatever is said."""

import json
import logging
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from falco_enrichment_exporter import logs
from falco_enrichment_exporter.logs import JsonFormatter, LogfmtFormatter


@pytest.fixture
def _own_handlers() -> Iterator[None]:
    """Lend the root logger; what pytest had there is there again afterwards."""
    root, uvicorn = logging.getLogger(), logging.getLogger("uvicorn")
    kept = root.handlers[:], root.level, uvicorn.level
    root.handlers.clear()
    yield
    root.handlers[:], root.level, uvicorn.level = kept
    root.setLevel(kept[1])


def record(message: str, *args: object, level: int = logging.INFO, **extra: Any) -> logging.LogRecord:
    """Return a record of a fixed time."""
    made = logging.LogRecord("name", level, __file__, 1, message, args, None)
    made.created, made.msecs = 1_763_875_200.0, 7.9
    vars(made).update(extra)
    return made


def with_traceback() -> logging.LogRecord:
    """Return a record of an exception."""
    made = record("failed", level=logging.ERROR)
    try:
        int("two\nlines")
    except ValueError:
        made.exc_info = sys.exc_info()
    return made


def test_a_logfmt_line_has_time_level_message_and_extras_in_order() -> None:
    """Times are UTC with milliseconds."""
    line = LogfmtFormatter().format(record("listening", address=":9377", version="1.2"))

    assert line == "ts=2025-11-23T05:20:00.007Z level=info msg=listening address=:9377 version=1.2"


def test_a_json_line_has_the_same_fields() -> None:
    """Only the form differs."""
    line = JsonFormatter().format(record("listening on %s", "x", level=logging.WARNING, port=9377))

    assert json.loads(line) == {
        "ts": "2025-11-23T05:20:00.007Z",
        "level": "warning",
        "msg": "listening on x",
        "port": 9377,
    }
    assert list(json.loads(line)) == ["ts", "level", "msg", "port"]


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("plain", "plain"),
        ("/var/log/falco.json", "/var/log/falco.json"),
        ("größe", "größe"),
        ("", '""'),
        ("two words", '"two words"'),
        ("a=b", '"a=b"'),
        ('say "x"', '"say \\"x\\""'),
        ("back\\slash", '"back\\\\slash"'),
        ("line\nbreak", '"line\\nbreak"'),
        ("tab\t", '"tab\\t"'),
        ("carriage\rreturn", '"carriage\\rreturn"'),
        ("escape\x1b[31m", '"escape\\u001b[31m"'),
        ("nul\0", '"nul\\u0000"'),
        ("next\x85line", '"next\\u0085line"'),
        ("line\u2028separator", '"line\\u2028separator"'),
        ("control\x9b31m", '"control\\u009b31m"'),
    ],
)
def test_logfmt_values_are_quoted_when_they_must_be(text: str, written: str) -> None:
    """A file name of another's choosing ends no line, starts no field and steers no terminal."""
    assert LogfmtFormatter().format(record("x", path=text)).partition(" path=")[2] == written


@pytest.mark.parametrize("formatter", [LogfmtFormatter(), JsonFormatter()])
def test_an_exception_stays_in_one_line(formatter: logging.Formatter) -> None:
    """The traceback is the field error."""
    line = formatter.format(with_traceback())

    assert len(line.splitlines()) == 1
    assert "error" in line
    assert "ValueError" in line
    assert "Traceback" in line


@given(st.text(), st.text())
def test_any_text_is_one_line(message: str, value: str) -> None:
    """And JSON stays JSON."""
    made = record("%s", message, path=value)
    written = JsonFormatter().format(made)

    assert len(LogfmtFormatter().format(made).splitlines()) == 1
    assert len(written.splitlines()) == 1
    assert json.loads(written)["path"] == value


@pytest.mark.parametrize("value", [OSError(2, "No such file"), {1, 2}, b"bytes", object])
def test_values_of_any_type_can_be_said(value: object) -> None:
    """What JSON does not know is written as text."""
    assert isinstance(json.loads(JsonFormatter().format(record("x", value=value)))["value"], str)
    assert " value=" in LogfmtFormatter().format(record("x", value=value))


@pytest.mark.usefixtures("_own_handlers")
@pytest.mark.parametrize(("style", "start"), [("logfmt", "ts="), ("json", '{"ts": ')])
def test_every_logger_writes_to_stderr_in_one_format(
    capsys: pytest.CaptureFixture[str], style: str, start: str
) -> None:
    """Nothing goes to stdout, and libraries write as we do."""
    logs.configure("info", style)
    logging.getLogger("some.library").info("hello")
    captured = capsys.readouterr()

    assert captured.out == ""
    assert captured.err.startswith(start)
    assert len(captured.err.splitlines()) == 1


@pytest.mark.usefixtures("_own_handlers")
@pytest.mark.parametrize(
    ("level", "said"),
    [
        ("debug", ["debug", "info", "warning", "error"]),
        ("info", ["info", "warning", "error"]),
        ("warning", ["warning", "error"]),
        ("error", ["error"]),
    ],
)
def test_the_level_decides_what_is_said(capsys: pytest.CaptureFixture[str], level: str, said: list[str]) -> None:
    """Each of the four levels of the setting."""
    logs.configure(level, "logfmt")
    for name in ("debug", "info", "warning", "error"):
        logging.getLogger("x").log(logging.getLevelNamesMapping()[name.upper()], name)

    assert [line.rpartition("msg=")[2] for line in capsys.readouterr().err.splitlines()] == said


@pytest.mark.usefixtures("_own_handlers")
def test_configuring_twice_does_not_say_things_twice(capsys: pytest.CaptureFixture[str]) -> None:
    """The second configuration replaces the first."""
    logs.configure("info", "json")
    logs.configure("info", "logfmt")
    logging.getLogger("x").info("once")

    assert capsys.readouterr().err.count("once") == 1
