"""The metrics page: the lines of the hosts, and behind them what prometheus_client makes of the rest."""

import asyncio
from collections.abc import Sequence
from typing import Final

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

from falco_enrichment_exporter.core.fleet import Fleet
from falco_enrichment_exporter.exposition.alerts import AlertHosts
from falco_enrichment_exporter.exposition.hosts import HostLines, Hosts, Part, SnapshotHosts
from falco_enrichment_exporter.exposition.telemetry import Tally
from falco_enrichment_exporter.turns import Turns

PIECE_BYTES: Final = 1 << 18


class Page:
    """All series in either format: ``parts`` add those of a host's snapshots, ``registry`` has what is of no host."""

    def __init__(self, fleet: Fleet, parts: Sequence[Part], tally: Tally, registry: CollectorRegistry) -> None:
        kinds: tuple[Hosts, ...] = SnapshotHosts(fleet, parts), AlertHosts(fleet.alerts)
        self._lines = [HostLines(fleet, hosts, tally) for hosts in kinds]
        self._registry = registry
        self._making = asyncio.Lock()

    async def make(self, *, is_open_metrics: bool = False) -> list[bytes]:
        """Return the page in pieces, in Prometheus' text format or in OpenMetrics. One of many hosts in turns."""
        pieces = [b""]
        turns = Turns()
        async with self._making:
            for lines in self._lines:
                await lines.refresh(turns)
            for lines in self._lines:
                for family in lines.families(is_open_metrics=is_open_metrics):
                    _append(pieces, family.encode())
                    await turns.pause()
        rest = generate_openmetrics if is_open_metrics else generate_latest
        _append(pieces, rest(self._registry))
        return pieces


def _append(pieces: list[bytes], text: bytes) -> None:
    """Put what is small together: most pages are one piece."""
    if len(pieces[-1]) + len(text) <= PIECE_BYTES:
        pieces[-1] += text
    else:
        pieces.append(text)
