"""The command and Debian's Prometheus as processes, and what they say."""

import contextlib
import http.client
import itertools
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.parse
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol, Self, TypeVar

from prometheus_client.parser import text_string_to_metric_families

COMMAND = (sys.executable, "-m", "falco_enrichment_exporter")
RUNS = Path(__file__).parent.parent / "data" / "falco-0.44.1"
HOSTNAME = "falco-node-1"  # of the recorded runs
DEADLINE_SECONDS = 10.0
STAYS_SECONDS = 0.2  # four looks of a source at 50 ms
SECOND = 10**9

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]
"""(name, labels) -> value."""

T = TypeVar("T")
_RUNNING = itertools.count()
_preadv = os.preadv


def polls(seconds: float, every: float = 0.02) -> Iterator[None]:
    """Yield at once, and again and again until the time is up."""
    end = time.monotonic() + seconds
    yield
    while time.monotonic() < end:
        time.sleep(every)
        yield


def eventually(look: Callable[[], T], is_right: Callable[[T], bool], within: float = DEADLINE_SECONDS) -> T:
    """Look again and again until what is seen is right; return it."""
    seen = look()
    for _ in polls(within):
        seen = look()
        if is_right(seen):
            return seen
    raise AssertionError(f"after {within} s it is still {seen!r}")


def always(look: Callable[[], T], is_right: Callable[[T], bool], during: float = STAYS_SECONDS) -> None:
    """Look again and again, and see the right thing every time."""
    for _ in polls(during):
        seen = look()
        assert is_right(seen), f"it became {seen!r}"


# -- Falco's lines ---------------------------------------------------------------------------------------------------


def _recorded(run: str, *, is_snapshot: bool) -> dict[str, Any]:
    with (RUNS / run / "alerts.jsonl").open() as lines:
        objects = (json.loads(line) for line in lines)
        return next(line for line in objects if (line["source"] == "internal") is is_snapshot)


_ALERT = _recorded("run-a", is_snapshot=False)
_SNAPSHOT = _recorded("run-a", is_snapshot=True)


def alert(rule: str, **envelope: Any) -> bytes:
    """Return a recorded alert's line under another rule name."""
    return json.dumps(_ALERT | {"rule": rule} | envelope, separators=(",", ":")).encode() + b"\n"


def snapshot(hostname: str, at: float, **fields: Any) -> bytes:
    """Return a recorded snapshot's line as of another host and time; two underscores in a name stand for a dot."""
    given = {name.replace("__", "."): value for name, value in fields.items()}
    own = {"evt.hostname": hostname, "evt.time": int(at * SECOND)}
    line = _SNAPSHOT | {"hostname": hostname, "output_fields": _SNAPSHOT["output_fields"] | own | given}
    return json.dumps(line, separators=(",", ":")).encode() + b"\n"


def append(path: Path, *lines: bytes) -> None:
    """Write to the end of a file with one write, as Falco does; the file is made if it is not there."""
    with path.open("ab", buffering=0) as file:
        file.write(b"".join(lines))


def read_at_hand(descriptor: int, buffers: Sequence[memoryview], position: int, *_: int) -> int:
    """Take the place of ``os.preadv``: read at once on tmpfs too, where /tmp may be: it cannot say what it has."""
    return _preadv(descriptor, buffers, position)


def grow(path: Path, rule: str, count: int) -> None:
    """Append alerts of a rule; no two are the same, as Falco's are not by their time."""
    append(path, *(alert(rule, time=f"line {next(_RUNNING)}") for _ in range(count)))


# -- the exporter ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Response:
    """What the exporter answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


@dataclass(frozen=True)
class Ended:
    """How a process ended, and what it said."""

    code: int
    stderr: str
    stdout: str = ""


def fetch(
    host: str, port: int, path: str, *, method: str = "GET", headers: Mapping[str, str] | None = None
) -> Response:
    """Make one HTTP request; names of the headers come back in lower case."""
    connection = http.client.HTTPConnection(host, port, timeout=DEADLINE_SECONDS)
    with contextlib.closing(connection):
        connection.putrequest(method, path, skip_accept_encoding=True)
        for name, value in (headers or {}).items():
            connection.putheader(name, value)
        connection.endheaders()
        answer = connection.getresponse()
        found = {name.lower(): value for name, value in answer.getheaders()}
        return Response(answer.status, found, answer.read())


def send(host: str, port: int, path: str, body: bytes, headers: Mapping[str, str] | None = None) -> Response:
    """Post a body."""
    with contextlib.closing(http.client.HTTPConnection(host, port, timeout=DEADLINE_SECONDS)) as connection:
        connection.request("POST", path, body, dict(headers or {}))
        answer = connection.getresponse()
        return Response(answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read())


def parse(text: str) -> Samples:
    """Return every sample of a metrics page; a sample may be there once only."""
    samples: Samples = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            key = sample.name, frozenset(sample.labels.items())
            assert key not in samples, f"{key} is on the page twice"
            samples[key] = sample.value
    return samples


def total(samples: Samples, name: str, **labels: str) -> float | None:
    """Return the sum of a series over all labels that are not given; None if there is no such series."""
    values = [value for (own, its), value in samples.items() if own == name and labels.items() <= set(its)]
    return sum(values) if values else None


def by_label(samples: Samples, name: str, label: str) -> dict[str, float]:
    """Return the sums of a series by one label, zeros left out."""
    found = {dict(labels)[label] for own, labels in samples if own == name}
    sums = {value: total(samples, name, **{label: value}) for value in found}
    return {value: count for value, count in sums.items() if count}


class Exporter:
    """A running exporter; a context manager that kills it."""

    def __init__(
        self,
        arguments: Sequence[str],
        folder: Path,
        *,
        stdin: int | IO[bytes] = subprocess.DEVNULL,
        prefix: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._log = folder / f"exporter-{time.monotonic_ns()}.log"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [*prefix, *COMMAND, *arguments],
                stdin=stdin,
                stdout=subprocess.DEVNULL,
                stderr=log,
                env=clean_environment(folder, environment),
                cwd=folder,
            )
        self._bound: tuple[str, int] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        if self.process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self.process.stdin.close()

    @property
    def stderr(self) -> str:
        """What it has logged so far."""
        return self._log.read_text()

    @property
    def address(self) -> tuple[str, int]:
        """The host and the port it says it listens on."""
        if self._bound is None:

            def logged() -> re.Match[str] | None:
                found = re.search(r'address(?:=|": ")(\S+):(\d+)', self.stderr)
                assert found or self.process.poll() is None, f"it has ended: {self.stderr}"
                return found

            match = eventually(logged, lambda found: found is not None)
            assert match is not None
            self._bound = match[1], int(match[2])
        return self._bound

    @property
    def port(self) -> int:
        """The port it says it listens on."""
        return self.address[1]

    def get(self, path: str, *, method: str = "GET", headers: Mapping[str, str] | None = None) -> Response:
        """Make one request, over IPv6 if it listens on that alone."""
        host = "::1" if self.address[0] == "[::1]" else "127.0.0.1"
        return fetch(host, self.port, path, method=method, headers=headers)

    def wait_until_ready(self) -> Self:
        """Return once /-/ready says so."""
        eventually(lambda: self.get("/-/ready").status, lambda status: status == 200)
        return self

    def scrape(self) -> Samples:
        """Return the metrics page."""
        answer = self.get("/metrics")
        assert answer.status == 200, answer.body
        return parse(answer.text)

    def total(self, name: str, **labels: str) -> float | None:
        """Return a series of the exporter, summed over the labels that are not given; None if it is not there."""
        return total(self.scrape(), f"falco_enrichment_{name}", **labels)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> Ended:
        """Send a signal; return how it ended."""
        self.process.send_signal(number)
        return Ended(self.process.wait(DEADLINE_SECONDS), self.stderr)


class Start(Protocol):
    """Start an exporter with these arguments, unless told otherwise as ``serve`` on a free port of the loopback."""

    def __call__(self, *arguments: str, **more: Any) -> Exporter: ...


def clean_environment(folder: Path, more: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return our environment without settings of the exporter, its state and temporary files within a folder."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("FALCO_ENRICHMENT_")}
    return kept | {"XDG_STATE_HOME": str(folder / "state"), "TMPDIR": str(folder)} | dict(more or {})


def without_root() -> list[str]:
    """Return a command prefix under which file permissions count, for root too."""
    if os.geteuid() != 0:
        return []
    setpriv = shutil.which("setpriv")
    assert setpriv is not None
    return [setpriv, "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-dac_override,-dac_read_search"]


def run(arguments: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None) -> Ended:
    """Run a command that ends by itself; if it does not, its exit code is -1."""
    try:
        done = subprocess.run(
            [*COMMAND, *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env=clean_environment(folder, environment),
            cwd=folder,
            timeout=DEADLINE_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return Ended(-1, "it did not end")
    return Ended(done.returncode, done.stderr, done.stdout)


# -- Prometheus ------------------------------------------------------------------------------------------------------


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


class Prometheus:
    """Debian's Prometheus, scraping one exporter every second; a context manager that kills it.

    With ``rules`` it evaluates them every second, and tells the Alertmanager at a port; ``job`` is added to the job.
    """

    def __init__(
        self,
        target_port: int,
        folder: Path,
        *,
        rules: Path | None = None,
        alertmanager_port: int | None = None,
        job: Mapping[str, Any] | None = None,
    ) -> None:
        self.port = free_port()
        self._log = folder / "prometheus.log"
        config = folder / "prometheus.yml"
        target = {"job_name": "falco-enrichment", "static_configs": [{"targets": [f"127.0.0.1:{target_port}"]}]}
        timing = {"scrape_interval": "1s", "scrape_timeout": "1s"}
        settings: dict[str, Any] = {
            "global": timing | {"evaluation_interval": "1s"},
            "scrape_configs": [target | dict(job or {})],
        }
        if rules is not None:
            told = [{"static_configs": [{"targets": [f"127.0.0.1:{alertmanager_port}"]}]}]
            settings |= {"rule_files": [str(rules)], "alerting": {"alertmanagers": told}}
        config.write_text(json.dumps(settings))  # JSON is YAML
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [
                    "/usr/bin/prometheus",
                    f"--config.file={config}",
                    f"--storage.tsdb.path={folder / 'tsdb'}",
                    f"--web.listen-address=127.0.0.1:{self.port}",
                    "--log.level=debug",
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=folder,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()

    @property
    def log(self) -> str:
        """What it has logged so far."""
        return self._log.read_text()

    def ask(self, path: str, **parameters: str) -> Any:
        """Return the data of an API answer; None while it does not answer yet."""
        try:
            answer = fetch("127.0.0.1", self.port, f"/api/v1/{path}?{urllib.parse.urlencode(parameters)}")
        except OSError:
            assert self.process.poll() is None, self.log
            return None
        return json.loads(answer.body)["data"] if answer.status == 200 else None

    def query(self, expression: str) -> dict[frozenset[tuple[str, str]], float]:
        """Return labels -> value of an instant query."""
        data = self.ask("query", query=expression)
        rows = data["result"] if data is not None else []
        return {frozenset(row["metric"].items()): float(row["value"][1]) for row in rows}
