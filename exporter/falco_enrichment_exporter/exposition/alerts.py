"""Our own series that are not of one host's snapshots: alerts and their fields, thresholds, objectives."""

from collections.abc import Iterator, Mapping

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from falco_enrichment_exporter.core import series
from falco_enrichment_exporter.core.alerts import AlertCounts
from falco_enrichment_exporter.core.catalog import PREFIX
from falco_enrichment_exporter.core.track import Track
from falco_enrichment_exporter.exposition.families import Families
from falco_enrichment_exporter.exposition.hosts import Sink

Thresholds = Mapping[str, Mapping[str, float | None]]
"""signal -> severity -> limit; None: no such limit."""

Objectives = Mapping[str, float]
"""domain -> share of fields that are to be present."""

Rows = Iterator[tuple[tuple[str, ...], int]]
"""Label values in the order of the series' labels, and the count."""


class AlertSeries:
    """The counts of one host's alerts, those that have a label for the host."""

    def __init__(self, alerts: AlertCounts) -> None:
        self._alerts = alerts

    def __call__(self, sink: Sink, hostname: str, tracks: dict[str, Track]) -> None:  # noqa: ARG002  as every part
        """Add all samples of the host."""
        ledger = self._alerts.ledger
        host = ledger.hosts.get(hostname)
        rows: dict[str, Rows] = {"alerts_total": iter(self._alerts.of_host(hostname).items())}
        if host is not None:
            rows["alert_fields_total"] = iter(host.fields.items())
            rows["alert_fields_excused_total"] = iter(host.excused.items())
            rows["alert_fields_missing_total"] = iter(host.missing.items())
        if ledger.without_fields[hostname]:
            rows["alerts_without_fields_total"] = iter([((), ledger.without_fields[hostname])])
        for name, counts in rows.items():
            row = series.ALERT_SERIES[name]
            for values, count in counts:
                labels = dict(zip(row.labels, (hostname, *values), strict=True))
                sink.add(PREFIX + name, row.kind, row.help, labels, count)


class AlertCollector(Collector):
    """Expose the counts of alerts, and what they are to be held against."""

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
        for name, rows in self._rows().items():
            row = series.ALERT_SERIES[name]
            for values, count in rows:
                labels = dict(zip(row.labels, values, strict=True))
                families.add(PREFIX + name, row.kind, row.help, labels, count)
        self._add_limits(families)
        return iter(families)

    def _rows(self) -> dict[str, Rows]:
        ledger = self._alerts.ledger
        hosts = ledger.hosts.items()
        return {
            "alerts_total": iter(self._alerts.by_host.items()),
            "rule_alerts_total": iter(self._alerts.by_rule.items()),
            "alert_fields_total": (((name, *key), count) for name, host in hosts for key, count in host.fields.items()),
            "alert_fields_excused_total": (
                ((name, *key), count) for name, host in hosts for key, count in host.excused.items()
            ),
            "alert_fields_missing_total": (
                ((name, *key), count) for name, host in hosts for key, count in host.missing.items()
            ),
            "rule_missing_alerts_total": iter(ledger.rule_missing.items()),
            "alerts_without_fields_total": (((name,), count) for name, count in ledger.without_fields.items()),
        }

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
