"""The command line: one executable, a command, its settings."""

import argparse
import asyncio
import gc
import importlib.metadata
import os
import platform
import signal
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NoReturn

from falco_enrichment_exporter import __version__
from falco_enrichment_exporter.errors import SetupError

if TYPE_CHECKING:
    from falco_enrichment_exporter.service import Feed
    from falco_enrichment_exporter.settings import ServeSettings

PROG = "falco-enrichment-exporter"
ENDED_BY_PIPE = 128 + signal.SIGPIPE  # what a shell says of a program that a closed pipe has ended
SHOWN = ("prometheus-client", "msgspec", "uvloop", "uvicorn", "starlette", "aiofiles", "pydantic", "pydantic-settings")


def serve(arguments: Sequence[str]) -> int:
    """Follow Falco's output, serve /metrics."""
    _prepare_process()
    from falco_enrichment_exporter import loading  # noqa: PLC0415  version and --help need none of it

    loaded = loading.load(arguments, prog=f"{PROG} serve")
    if not loaded.source.paths and not loaded.receiver.enabled:
        raise SetupError(
            "--source.paths: nothing to follow; give the file Falco writes to, such as"
            " --source.paths=/var/log/falco/falco.json, or - for standard input; or --receiver.enabled=true for posts"
        )
    return _run(loaded, None)


def demo(arguments: Sequence[str]) -> int:
    """Serve a built-in synthetic Falco."""
    _prepare_process()
    from falco_enrichment_exporter import loading  # noqa: PLC0415
    from falco_enrichment_exporter.commands.demo import SyntheticFalco  # noqa: PLC0415

    with SyntheticFalco() as falco:
        about = f"Follow a built-in synthetic Falco of three hosts that degrade and heal; settings as of {PROG} serve."
        return _run(loading.load(arguments, prog=f"{PROG} demo", defaults=falco.settings, about=about), falco.run)


def diagnose(arguments: Sequence[str]) -> int:
    """Read files once and say what is wrong."""
    from falco_enrichment_exporter.commands import diagnose as command  # noqa: PLC0415

    return command.run(arguments)


def backfill(arguments: Sequence[str]) -> int:
    """Write history as OpenMetrics with times."""
    from falco_enrichment_exporter.commands import backfill as command  # noqa: PLC0415

    return command.run(arguments)


def doctor(arguments: Sequence[str]) -> int:
    """Review Falco's settings."""
    from falco_enrichment_exporter.commands import doctor as command  # noqa: PLC0415

    return command.run(arguments)


def assets(arguments: Sequence[str]) -> int:
    """Write the shipped files."""
    from falco_enrichment_exporter.commands import assets as command  # noqa: PLC0415

    return command.run(arguments)


def version(arguments: Sequence[str]) -> int:
    """Print versions."""
    argparse.ArgumentParser(prog=f"{PROG} version", description="Print versions.").parse_args(arguments)
    print(f"{PROG} {__version__}")  # noqa: T201  this is its output
    print(f"Python {platform.python_version()} ({platform.platform()})")  # noqa: T201
    for name in SHOWN:
        print(f"{name} {importlib.metadata.version(name)}")  # noqa: T201
    return 0


def _end_early(*_: object) -> NoReturn:
    raise SystemExit(0)


def _prepare_process() -> None:
    """Make a signal during start-up a good end, and give the first three descriptors to nobody by accident."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _end_early)
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:  # noqa: PLR2004  standard error
        pass
    os.close(descriptor)


def _run(settings: "ServeSettings", feed: "Feed | None") -> int:
    import uvloop  # noqa: PLC0415

    from falco_enrichment_exporter import logs, service  # noqa: PLC0415

    logs.configure(settings.log.level, settings.log.format)
    # What is there now stays: a collector that goes over it again and again finds nothing. What comes is mostly
    # alerts, which hold no cycles.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(service.serve(settings, feed))
    return 0


COMMANDS: dict[str, tuple[Callable[[Sequence[str]], int], str]] = {
    "serve": (serve, "follow Falco's output and serve /metrics"),
    "diagnose": (diagnose, "read Falco's output once and say what is degraded, why, and what to do next"),
    "doctor": (doctor, "review Falco's settings, rules and mounts: what breaks enrichment, and what to set"),
    "backfill": (backfill, "turn old output of Falco's into OpenMetrics with times, for Prometheus to take in"),
    "demo": (demo, "serve a built-in synthetic Falco that degrades and heals"),
    "assets": (assets, "write the shipped alert rules, Alertmanager example and dashboards to a folder"),
    "version": (version, "print the versions of the exporter, Python and dependencies"),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; return the exit code: 0 well, 2 bad settings, 141 nobody reads on; 1 after a traceback."""
    listed = "\n".join(f"  {name:<10}{text}" for name, (_, text) in COMMANDS.items())
    parser = argparse.ArgumentParser(
        prog=PROG,
        usage=f"{PROG} COMMAND [--flag=value ...]",
        description="Tell Prometheus how well Falco's enrichment works: containers, users, process trees.",
        epilog=f"commands:\n{listed}\n\nEvery command has its own --help.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("command", nargs="?", choices=COMMANDS, metavar="COMMAND", help="what to do, see below")
    parser.add_argument("rest", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    parser.add_argument("--version", action="version", version=f"{PROG} {__version__}")
    parsed = parser.parse_args(arguments)
    if parsed.command is None:
        parser.error("give a COMMAND; see --help")
    try:
        code = COMMANDS[parsed.command][0](parsed.rest)
        sys.stdout.flush()
    except BrokenPipeError:
        if parsed.command in ("serve", "demo"):
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # `| head` has read enough
        return ENDED_BY_PIPE
    except SetupError as error:
        print("\n".join(f"{PROG}: {line}" for line in str(error).splitlines()), file=sys.stderr)  # noqa: T201
        return 2
    return code
