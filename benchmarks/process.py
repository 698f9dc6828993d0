"""Start processes and read what they cost: CPU of the whole process, memory, bytes read."""

import contextlib
import http.client
import os
import resource
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

MIB = 1 << 20
DEADLINE_SECONDS = 600.0
QUIET_SECONDS = 0.3
QUIET_CPU_SECONDS = 0.005


class BenchmarkError(Exception):
    """A program did not do what it is measured for."""


@dataclass(frozen=True)
class Run:
    """What a command that has ended cost, and what it printed."""

    cpu_seconds: float
    wall_seconds: float
    peak_mib: float
    output: str


def run(command: Sequence[str]) -> Run:
    """Run a command to its end."""
    begin = time.monotonic()
    with tempfile.TemporaryFile("w+") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.DEVNULL,
            env=os.environ | {"LC_ALL": "C"},
        )
        try:
            usage, peak_kib = _wait(process)
        finally:
            process.kill()  # does nothing if it has ended
        if process.returncode != 0:
            raise BenchmarkError(f"{' '.join(command)} has ended with exit code {process.returncode}")
        output.seek(0)
        cpu_seconds = usage.ru_utime + usage.ru_stime
        return Run(cpu_seconds, time.monotonic() - begin, peak_kib / 1024, output.read())


def _wait(process: subprocess.Popen[bytes]) -> tuple[resource.struct_rusage, int]:
    """Wait for its end; what it took, and its peak in KiB: from /proc, as ru_maxrss would begin with our own memory."""
    peak_kib = 0
    while True:
        time.sleep(0.01)
        with contextlib.suppress(StopIteration):  # a process that has ended has no memory
            peak_kib = proc_number(process.pid, "status", "VmHWM")
        ended, status, usage = os.wait4(process.pid, os.WNOHANG)
        if ended:
            process.returncode = os.waitstatus_to_exitcode(status)
            return usage, peak_kib


def proc_number(pid: int, file: str, name: str) -> int:
    """Return a number of a process that the kernel tells in /proc."""
    lines = Path(f"/proc/{pid}/{file}").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{name}:"))


def eventually(
    condition: Callable[[], bool],
    what: str,
    *,
    pause_seconds: float = 0.02,
    deadline_seconds: float = DEADLINE_SECONDS,
) -> None:
    """Return once a condition holds."""
    deadline = time.monotonic() + deadline_seconds
    while not condition():
        if time.monotonic() > deadline:
            raise BenchmarkError(f"{what}: not within {deadline_seconds:.0f} s")
        time.sleep(pause_seconds)


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def allow_many_files() -> None:
    """Let the programs open as many files as the system lets us."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class Server:
    """A running process with a metrics page; a context manager that ends it."""

    def __init__(self, command: Sequence[str], *, port: int, folder: Path, environment: Mapping[str, str]) -> None:
        self.port = port
        self._log = folder / f"{Path(command[0]).name}-{port}.log"
        self._connection: http.client.HTTPConnection | None = None
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=folder, env=dict(environment)
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def get(self, path: str = "/metrics") -> tuple[int, str]:
        """Make a request over a connection that is kept; status and body."""
        if self._connection is None:
            self._connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        self._connection.request("GET", path)
        answer = self._connection.getresponse()
        return answer.status, answer.read().decode()

    def wait_until_ready(self, path: str) -> None:
        """Return once a path answers with 200."""
        eventually(lambda: self._is_ready(path), f"{self.process.args!r} is ready", pause_seconds=0.05)

    def _is_ready(self, path: str) -> bool:
        self.check()
        with contextlib.suppress(OSError, http.client.HTTPException):
            return self.get(path)[0] == http.client.OK
        self._connection = None
        return False

    def check(self) -> None:
        """Raise if it has ended."""
        if self.process.poll() is not None:
            raise BenchmarkError(f"it has ended, with this last word: {self._log.read_text()[-1000:]}")

    # -- what it costs -------------------------------------------------------------------------------------------------

    @property
    def cpu_seconds(self) -> float:
        """User and system time of all its threads until now; clock_getcpuclockid(3), finer than the ticks of stat."""
        return time.clock_gettime((~self.process.pid << 3) | 2)

    @property
    def rss_mib(self) -> float:
        """Its memory now."""
        return proc_number(self.process.pid, "status", "VmRSS") / 1024

    @property
    def peak_mib(self) -> float:
        """The most memory it has had."""
        return proc_number(self.process.pid, "status", "VmHWM") / 1024

    @property
    def read_characters(self) -> int:
        """Bytes it has read until now, from files that grow and from anything else."""
        return proc_number(self.process.pid, "io", "rchar")

    def wait_until_taken(self, size_bytes: int, read_before: int) -> None:
        """Return once it has read so many bytes, and does nothing any more."""
        eventually(lambda: self._has_read(size_bytes + read_before), f"{size_bytes} bytes read", pause_seconds=0.2)
        self.wait_until_quiet()

    def _has_read(self, characters: int) -> bool:
        self.check()
        return self.read_characters >= characters

    def wait_until_quiet(self) -> None:
        """Return once it does nothing any more."""
        last = -1.0

        def is_quiet() -> bool:
            nonlocal last
            self.check()
            before, last = last, self.cpu_seconds
            return 0 <= last - before < QUIET_CPU_SECONDS

        eventually(is_quiet, "quiet", pause_seconds=QUIET_SECONDS)
