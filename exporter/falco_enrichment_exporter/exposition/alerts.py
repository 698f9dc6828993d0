"""Our own series that are not of one host's snapshots: alerts and their fields, thresholds, objectives."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from falco_enrichment_exporter.core import series
from falco_enrichment_exporter.core.alerts import AlertCounts
from falco_enrichment_exporter.core.catalog import PREFIX
from falco_enrichment_exporter.core.track import Track
from falco_enrichment_exporter.exposition.families import Families
from falco_enrichment_exporter.exposition.hosts import Part, Sink

Thresholds = Mapping[str, Mapping[str, float | None]]
"""signal -> severity -> limit; None: no such limit."""

Objectives = Mapping[str, float]
"""domain -> share of fields that are to be present."""

Rows = Iterable[tuple[tuple[str, ...], int]]
"""Label values in the order of the series' labels, and the count."""


class AlertSeries:
    """The counts of one host's alerts, those that have a label for the host."""

    def __init__(self, alerts: AlertCounts) -> None:
        self._alerts = alerts

    def __call__(self, sink: Sink, hostname: str, tracks: dict[str, Track]) -> None:  # noqa: ARG002  as every part
        """Add all samples of the host."""
        ledger = self._alerts.ledger
        host = ledger.hosts.get(hostname)
        _add_rows(sink, "alerts_total", self._alerts.of_host(hostname).items(), hostname)
        if host is not None:
            _add_rows(sink, "alert_fields_total", host.fields.items(), hostname)
            _add_rows(sink, "alert_fields_excused_total", host.excused.items(), hostname)
            _add_rows(sink, "alert_fields_missing_total", host.missing.items(), hostname)
        if ledger.without_fields[hostname]:
            _add_rows(sink, "alerts_without_fields_total", [((), ledger.without_fields[hostname])], hostname)


class AlertHosts:
    """Hosts that have had alerts, whether they have snapshots or not."""

    def __init__(self, alerts: AlertCounts) -> None:
        self.parts: Sequence[Part] = [AlertSeries(alerts)]
        self._alerts = alerts

    def names(self) -> Collection[str]:
        """Return the names of the hosts."""
        return self._alerts.hostnames

    def revision(self, hostname: str) -> object:
        """Count the alerts."""
        return sum(self._alerts.of_host(hostname).values())


def _add_rows(sink: Sink, name: str, rows: Rows, *first: str) -> None:
    row = series.ALERT_SERIES[name]
    for values, count in rows:
        sink.add(PREFIX + name, row.kind, row.help, dict(zip(row.labels, (*first, *values), strict=True)), count)


class AlertCollector(Collector):
    """Expose the counts of alerts that are not of one host, and what those of the hosts are to be held against."""

    def __init__(self, alerts: AlertCounts, thresholds: Thresholds, objectives: Objectives) -> None:
        self._alerts = alerts
        self._thresholds = thresholds
        self._objectives = objectives

    def describe(self) -> list[Metric]:
        """Return nothing: which families there are depends on what was read."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Make all families from the state as it is now."""
        families = Families()
        _add_rows(families, "rule_alerts_total", self._alerts.by_rule.items())
        _add_rows(families, "rule_missing_alerts_total", self._alerts.ledger.rule_missing.items())
        self._add_limits(families)
        return iter(families)

    def _add_limits(self, families: Families) -> None:
        row = series.THRESHOLD
        for signal, limits in self._thresholds.items():
            for severity, limit in limits.items():
                if limit is not None:
                    labels = {"signal": signal, "severity": severity}
                    families.add(PREFIX + row.name, row.kind, row.help, labels, limit)
        row = series.OBJECTIVE
        for domain, ratio in self._objectives.items():
            families.add(PREFIX + row.name, row.kind, row.help, {"domain": domain}, ratio)
