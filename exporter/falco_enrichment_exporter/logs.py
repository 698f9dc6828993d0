"""The exporter's own log: one line an event, logfmt or JSON, on stderr."""

import json
import logging
import re
import sys
import time
from typing import Any, Final

_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message", "taskName"}
_PLAIN: Final = re.compile(r"[^\s\"=\\\x00-\x1f\x7f-\x9f]+")


class _Formatter(logging.Formatter):
    def fields(self, record: logging.LogRecord) -> dict[str, Any]:
        """Return what is to be said, in order."""
        millis = int(record.msecs)
        moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{millis:03d}Z"
        said = {"ts": moment, "level": record.levelname.lower(), "msg": record.getMessage()}
        said |= {key: value for key, value in vars(record).items() if key not in _STANDARD}
        if record.exc_info:
            said["error"] = self.formatException(record.exc_info)
        return said


class LogfmtFormatter(_Formatter):
    """``ts=… level=info msg="listening" address=…``; values are quoted when they must be, so a line stays a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Format one record."""
        return " ".join(f"{key}={_quoted(str(value))}" for key, value in self.fields(record).items())


class JsonFormatter(_Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        """Format one record."""
        return json.dumps(self.fields(record), default=str)


def configure(level: str, style: str) -> None:
    """Send every log record of the process to stderr in one format."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if style == "json" else LogfmtFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.getLogger("uvicorn").setLevel("WARNING")  # its start and stop are ours to tell


def _quoted(text: str) -> str:
    return text if _PLAIN.fullmatch(text) else json.dumps(text)
