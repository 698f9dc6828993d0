"""What log collectors wrap around Falco's lines: CRI, docker json-file, syslog. In: a line. Out: what Falco wrote.

Sources: the CRI logging format (Kubernetes), docker's json-file driver (splits at 16 KiB), RFC 3164 and RFC 5424.
"""

import re
from typing import Final

import msgspec

from falco_enrichment_exporter.core.lines import Block

_CRI: Final = re.compile(
    rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:\d\d) (stdout|stderr) ([PF])(?::\S*)? ?"
)
_TIMESTAMP: Final = (
    rb"(?:[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d|\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d))"
)
# The tag must be Falco's: a line of another program may quote anything.
_TAG: Final = rb"falco(?:-(?:modern-bpf|bpf|kmod|custom))?"
_SYSLOG: Final = re.compile(rb"(?:<\d{1,3}>)?" + _TIMESTAMP + rb" \S+ " + _TAG + rb"(?:\[\d+\])?: ")
_SYSLOG_5424: Final = re.compile(
    rb"<\d{1,3}>1 \S+ \S+ " + _TAG + rb" \S+ \S+ (?:-|(?:\[(?:[^\]\\\"]|\"(?:\\.|[^\"\\])*\")*\])+) (?:\xef\xbb\xbf)?"
)
_STREAMS: Final = frozenset({"stdout", "stderr"})
DOCKER_START: Final = b'{"log":'
_STRIPPED: Final = b"\0 \t\r"  # NUL runs are what copytruncate leaves in a sparse file
_BOM: Final = b"\xef\xbb\xbf"
_BRACE: Final = ord("}")


class _DockerLine(msgspec.Struct, gc=False):
    log: str
    stream: str = "stdout"


class Broken(Exception):  # noqa: N818  not an error of ours: a line that cannot be unwrapped
    """A line whose envelope cannot be read; the argument is the reason to count."""


class Unwrapper:
    """Take envelopes off the lines of one source, and join what the container runtime split.

    ``unwrap(line)`` returns Falco's own line; None when there is nothing yet (a fragment, a blank line). Raises Broken
    for a torn envelope or a joined line above ``limit_bytes``. Fragments of stdout and stderr are joined apart.
    """

    __slots__ = ("_fragments", "_limit_bytes", "_oversize")

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self._fragments: dict[bytes, bytes] = {}
        self._oversize: set[bytes] = set()

    @property
    def fragments(self) -> dict[str, bytes]:
        """What is waiting for the rest of its line, by stream; empty bytes: too long, to be dropped. Can be stored."""
        waiting = {stream.decode(): parts for stream, parts in self._fragments.items()}
        return waiting | {stream.decode(): b"" for stream in self._oversize}

    @fragments.setter
    def fragments(self, waiting: dict[str, bytes]) -> None:
        self._fragments = {stream.encode(): parts for stream, parts in waiting.items() if parts}
        self._oversize = {stream.encode() for stream, parts in waiting.items() if not parts}

    @property
    def is_joining(self) -> bool:
        """Say whether a fragment is waiting for the rest of its line."""
        return bool(self._fragments or self._oversize)

    def unwrap(self, line: bytes) -> bytes | None:
        """Return the line that Falco wrote, or None if it is not complete yet or blank."""
        line = line.removeprefix(_BOM).lstrip(_STRIPPED)
        if not line:
            return None
        if line.startswith(b"{"):
            return self._docker(line) if line.startswith(DOCKER_START) else _stripped(line)
        if line[:1].isdigit():
            match = _CRI.match(line)
            if match is not None:
                return self._join(match[1], line[match.end() :], is_last=match[2] == b"F")
        match = _SYSLOG.match(line) or _SYSLOG_5424.match(line)
        return _stripped(line[match.end() :] if match is not None else line)

    def _docker(self, line: bytes) -> bytes | None:
        try:
            wrapped = msgspec.json.decode(line, type=_DockerLine)
            text = wrapped.log.encode()
        except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
            raise Broken("bad_envelope") from error
        if wrapped.stream not in _STREAMS:
            raise Broken("bad_envelope")
        return self._join(wrapped.stream.encode(), text.removesuffix(b"\n"), is_last=text.endswith(b"\n"))

    def _join(self, stream: bytes, text: bytes, *, is_last: bool) -> bytes | None:
        parts = self._fragments.pop(stream, b"")
        if stream in self._oversize or len(parts) + len(text) > self._limit_bytes:
            if not is_last:
                self._oversize.add(stream)
                return None
            self._oversize.discard(stream)
            raise Broken("oversize")
        if not is_last:
            self._fragments[stream] = parts + text
            return None
        return _stripped(parts + text)


def without_cri(block: Block) -> Block | None:
    """Return a block of whole JSON lines without their CRI envelopes; None if any line is something else.

    What ``Unwrapper.unwrap`` does line by line, at a fifth of the cost: in Kubernetes nearly every block is like that.
    """
    data, at = block.data, block.start
    parts: list[memoryview] = []
    with memoryview(data) as view:
        try:
            while at < block.end:
                match = _CRI.match(data, at, block.end)
                end = data.find(b"\n", at) + 1
                if (
                    match is None
                    or match[2] != b"F"
                    or not data.startswith(b"{", match.end())
                    or data[end - 2] != _BRACE
                ):
                    return None
                parts.append(view[match.end() : end])
                at = end
            bare = bytearray().join(parts)
        finally:
            for part in parts:
                part.release()
    return Block(bare, 0, len(bare))


def _stripped(line: bytes) -> bytes | None:
    return line.strip(_STRIPPED) or None
