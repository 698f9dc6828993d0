"""The composition root: settings to a running service, and its end."""

import asyncio
import contextlib
import logging
import resource
import signal
import socket
import time
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import uvicorn
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector

from falco_enrichment_exporter import __version__
from falco_enrichment_exporter.core.fleet import Fleet
from falco_enrichment_exporter.errors import SetupError
from falco_enrichment_exporter.exposition.alerts import AlertCollector
from falco_enrichment_exporter.exposition.collector import HostSeries
from falco_enrichment_exporter.exposition.hosts import Part
from falco_enrichment_exporter.exposition.native import NativeSeries
from falco_enrichment_exporter.exposition.page import Page
from falco_enrichment_exporter.exposition.rules import read_rules
from falco_enrichment_exporter.exposition.telemetry import SourceStatus, Tally, TelemetryCollector
from falco_enrichment_exporter.settings import ServeSettings
from falco_enrichment_exporter.sources.checkpoint import Checkpoint, State, name_of
from falco_enrichment_exporter.sources.files import FileSource
from falco_enrichment_exporter.sources.notices import Notices
from falco_enrichment_exporter.sources.pipes import Pipes, PipeSource
from falco_enrichment_exporter.sources.receiver import Receiver
from falco_enrichment_exporter.values import parse_address
from falco_enrichment_exporter.web import app as web
from falco_enrichment_exporter.web.access import Access
from falco_enrichment_exporter.web.protocol import BoundedProtocol
from falco_enrichment_exporter.web.status import Overview

STDIN = "-"
DRAIN_SECONDS = 2
MOST_DESCRIPTORS = 1 << 16
RESERVED_DESCRIPTORS = 40  # for connections, the checkpoint and Python itself

_log = logging.getLogger(__name__)


class Sources:
    """All sources; iterating gives the status of each path."""

    def __init__(self, settings: ServeSettings, fleet: Fleet, tally: Tally) -> None:
        paths = [path for path in settings.source.paths if path != STDIN]
        limit = settings.limits.max_line_bytes
        self.pipes = Pipes(fleet=fleet, tally=tally, limit_bytes=limit)
        self.files = FileSource(
            paths,
            fleet=fleet,
            tally=tally,
            limit_bytes=limit,
            poll_seconds=settings.source.poll_interval,
            notices=Notices(is_enabled=settings.source.notify and bool(paths)),
            most_open=_descriptors() - RESERVED_DESCRIPTORS,
            on_pipes=self.pipes.see,
        )
        self.checkpoint: Checkpoint | None = None
        has_stdin = STDIN in settings.source.paths
        self.stdin = PipeSource(STDIN, 0, fleet=fleet, tally=tally, limit_bytes=limit) if has_stdin else None

    def __iter__(self) -> Iterator[SourceStatus]:
        yield from self.files.paths
        yield from self.pipes
        if self.stdin is not None:
            yield self.stdin

    def waiting_for(self) -> str | None:
        """Say what readiness waits for; None when everything that was there is taken in."""
        if not self.files.caught_up.is_set():
            return "reading what the files hold"
        if self.checkpoint is not None and not self.checkpoint.has_tried:
            return "writing the first checkpoint"
        if self.stdin is not None and not self.stdin.is_ready:
            return "reading standard input"
        return None


def _descriptors() -> int:
    """Return how many files may be open, after asking for all that we are allowed."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = hard if hard != resource.RLIM_INFINITY else MOST_DESCRIPTORS
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(wanted, MOST_DESCRIPTORS)), hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


class Server(uvicorn.Server):
    """uvicorn without two of its habits.

    It would re-raise a signal after draining and kill us in mid-sentence, and it wakes up ten times a second to look
    whether it should end.
    """

    def __init__(self, config: uvicorn.Config, ending: asyncio.Event) -> None:
        super().__init__(config)
        self._ending = ending

    async def main_loop(self) -> None:
        """Wait for the end; what is under way is then answered."""
        await self._ending.wait()
        self.should_exit = True

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to the service."""
        yield


Feed = Callable[[], Coroutine[None, None, None]]
"""Something that runs beside the service and ends with it."""


async def serve(settings: ServeSettings, feed: Feed | None = None) -> None:
    """Follow the sources and serve until SIGTERM or SIGINT. Raises SetupError for what only now shows."""
    ending = asyncio.Event()
    _end_on_signals(ending)
    fleet = Fleet(
        default_hostname=settings.source.hostname,
        thread_table_size=settings.source.thread_table_size,
        limits=settings.limits.of_fleet,
        counts_alerts=settings.alerts.enabled,
        clock=time.time,
    )
    tally = Tally()
    sources = Sources(settings, fleet, tally)
    surface = _surface(settings, fleet, tally, sources)
    sockets = bind(settings.web.listen_address)
    checkpoint = sources.checkpoint = _checkpoint(settings, fleet, tally, sources)
    if checkpoint is not None:
        surface = replace(surface, before_answer=checkpoint.save)
        stored = checkpoint.load()
        if stored is not None:
            fleet.restore(stored.fleet)
            tally.restore(stored.tally)
            await sources.files.resume(stored.paths)
    scheme = "https" if surface.access is not None and surface.access.context is not None else "http"
    for listener in sockets:
        _log.info("listening", extra={"address": _written(listener), "scheme": scheme, "version": __version__})
    beside: list[Feed] = [sources.files.run, sources.pipes.run]
    beside += [sources.stdin.run] if sources.stdin is not None else []
    beside += [partial(checkpoint.run, sources.files.caught_up)] if checkpoint is not None else []
    beside += [feed] if feed is not None else []
    await _run(Server(_web_config(surface), ending), sockets, beside)
    if checkpoint is not None:
        checkpoint.close()
    await sources.files.close()


def _surface(settings: ServeSettings, fleet: Fleet, tally: Tally, sources: Sources) -> web.Surface:
    return web.Surface(
        page=_page(settings, fleet, tally, sources),
        overview=Overview(fleet, sources, settings.thresholds.model_dump(), waiting_for=sources.waiting_for),
        waiting_for=sources.waiting_for,
        telemetry_path=settings.web.telemetry_path,
        runbook_base_url=settings.web.runbook_base_url.rstrip("/"),
        receiver=_receiver(settings, fleet, tally),
        access=Access(settings.web.config_file) if settings.web.config_file is not None else None,
    )


def _web_config(surface: web.Surface) -> uvicorn.Config:
    config = uvicorn.Config(
        web.create(surface),
        log_config=None,
        access_log=False,
        lifespan="off",
        server_header=False,
        date_header=False,  # it would be renewed by the tick we do without
        timeout_graceful_shutdown=DRAIN_SECONDS,
        timeout_keep_alive=75,
        limit_concurrency=512,
        http=BoundedProtocol,
        h11_max_incomplete_event_size=16 * 1024,
    )
    config.load()
    config.ssl = surface.access.context if surface.access is not None else None
    return config


def _receiver(settings: ServeSettings, fleet: Fleet, tally: Tally) -> Receiver | None:
    if not settings.receiver.enabled:
        return None
    return Receiver(
        fleet=fleet,
        tally=tally,
        limit_bytes=settings.limits.max_body_bytes,
        line_bytes=settings.limits.max_line_bytes,
        per_second=settings.receiver.max_requests_per_second,
        token_file=settings.receiver.token_file,
    )


def _checkpoint(settings: ServeSettings, fleet: Fleet, tally: Tally, sources: Sources) -> Checkpoint | None:
    directory = settings.state.directory
    if directory is None:
        return None
    patterns = sorted(settings.source.paths)

    def state() -> State:
        return State(paths=sources.files.paths.dump(), fleet=fleet.dump(), tally=tally.dump())

    def revision() -> object:
        counts = fleet.lines.total() + fleet.rejections.total()
        seen = tally.rotations.total() + tally.errors.total() + tally.lost.total() + tally.ingest_requests.total()
        return tally.read_bytes, tally.skipped_bytes, seen, counts

    try:
        return Checkpoint(directory, name_of(patterns), tally, state=state, revision=revision)
    except SetupError as error:
        if "directory" in settings.state.model_fields_set or "another instance" in str(error):
            raise
        _log.warning("nothing is kept over restarts", extra={"reason": str(error)})
        return None


def _end_on_signals(ending: asyncio.Event) -> None:
    loop = asyncio.get_running_loop()

    def end(name: str) -> None:
        _log.info("stopping", extra={"signal": name})
        ending.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end, number.name)


async def _run(server: Server, sockets: list[socket.socket], beside: list[Feed]) -> None:
    async with asyncio.TaskGroup() as tasks:
        following = [tasks.create_task(run()) for run in beside]
        try:
            await server.serve(sockets)
        finally:
            for task in following:
                task.cancel()


def bind(address: str) -> list[socket.socket]:
    """Open the listening sockets; all interfaces is one socket for IPv6 and IPv4 together where there is IPv6."""
    host, port = parse_address(address)
    try:
        if not host:
            dual = socket.has_dualstack_ipv6()
            family = socket.AF_INET6 if dual else socket.AF_INET
            return [socket.create_server(("", port), family=family, dualstack_ipv6=dual, backlog=256)]
        family, _, _, _, resolved = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return [socket.create_server(resolved[:2], family=family, backlog=256)]
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise SetupError(f"--web.listen-address: cannot listen on {address}: {reason}") from error


def _written(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _page(settings: ServeSettings, fleet: Fleet, tally: Tally, sources: Sources) -> Page:
    parts: list[Part] = [HostSeries(fleet)]
    if settings.native.enabled:
        parts.append(NativeSeries(read_rules([Path(path) for path in settings.native.rules_files])))
    registry = CollectorRegistry(auto_describe=False)
    thresholds, objectives = settings.thresholds.model_dump(), settings.objectives.model_dump()
    registry.register(AlertCollector(fleet.alerts, thresholds, objectives))
    registry.register(TelemetryCollector(fleet, tally, sources, started_at=time.time()))
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return Page(fleet, parts, tally, registry)
