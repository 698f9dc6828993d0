"""Metric families under construction: one place that knows prometheus_client's types."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from falco_enrichment_exporter.core.catalog import Kind

Labels = dict[str, str]

_TYPES = {Kind.COUNTER: "counter", Kind.GAUGE: "gauge", Kind.INFO: "gauge", Kind.UNKNOWN: "unknown"}


class Families:
    """Collect samples by family, so that a family is contiguous and has one HELP and one TYPE."""

    def __init__(self) -> None:
        self._metrics: dict[str, Metric] = {}

    def add(self, name: str, kind: Kind, text: str, labels: Labels, value: float) -> None:
        """Add a sample; ``name`` is the sample's name, so a counter's ends in ``_total``. The first help counts."""
        metric = self._metrics.get(name)
        if metric is None:
            family = name.removesuffix("_total") if kind is Kind.COUNTER else name
            metric = self._metrics[name] = Metric(family, text, _TYPES[kind])
        metric.add_sample(name, labels, value)

    def __iter__(self) -> Iterator[Metric]:
        return iter(self._metrics.values())


class OpenMetricsView(CollectorRegistry):
    """A registry as OpenMetrics can say it.

    There a counter's family has the name without ``_total``, so ``threadtable_full_drops_total`` (a counter) and
    ``threadtable_full_drops`` (a gauge over a window) would be one family of two types. Such a counter goes as
    ``unknown`` under its full name; samples and text format stay as they are.
    """

    def __init__(self, inner: Collector) -> None:
        super().__init__(auto_describe=False)
        self._inner = inner

    def collect(self) -> Iterator[Metric]:
        """Pass the families on, the clashing counters renamed."""
        metrics = list(self._inner.collect())
        taken = {metric.name for metric in metrics if metric.type != "counter"}
        for metric in metrics:
            if metric.type == "counter" and metric.name in taken:
                renamed = Metric(f"{metric.name}_total", metric.documentation, "unknown")
                renamed.samples = metric.samples
                yield renamed
            else:
                yield metric
