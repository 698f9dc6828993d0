"""The metrics page: the lines of the hosts, and behind them what prometheus_client makes of the rest."""

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

from falco_enrichment_exporter.exposition.hosts import HostLines


class Page:
    """All series, as they are now, in either format."""

    def __init__(self, hosts: HostLines, registry: CollectorRegistry) -> None:
        self._hosts = hosts
        self._registry = registry

    def text(self) -> bytes:
        """Return the page in Prometheus' text format."""
        self._hosts.refresh()
        return self._hosts.text().encode() + generate_latest(self._registry)

    def open_metrics(self) -> bytes:
        """Return the page in the OpenMetrics format."""
        self._hosts.refresh()
        rest: bytes = generate_openmetrics(self._registry)
        return self._hosts.text(is_open_metrics=True).encode() + rest
