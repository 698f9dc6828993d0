"""Metric families under construction: one place that knows prometheus_client's types."""

from collections.abc import Iterator
from typing import Final

from prometheus_client.core import Metric

from falco_enrichment_exporter.core.catalog import Kind

Labels = dict[str, str]

TYPES: Final = {Kind.COUNTER: "counter", Kind.GAUGE: "gauge", Kind.INFO: "gauge", Kind.UNKNOWN: "unknown"}


class Families:
    """Collect samples by family, so that a family is contiguous and has one HELP and one TYPE."""

    def __init__(self) -> None:
        self._metrics: dict[str, Metric] = {}

    def add(self, name: str, kind: Kind, text: str, labels: Labels, value: float) -> None:
        """Add a sample; ``name`` is the sample's name, so a counter's ends in ``_total``. The first help counts."""
        metric = self._metrics.get(name)
        if metric is None:
            family = name.removesuffix("_total") if kind is Kind.COUNTER else name
            metric = self._metrics[name] = Metric(family, text, TYPES[kind])
        metric.add_sample(name, labels, value)

    def __iter__(self) -> Iterator[Metric]:
        return iter(self._metrics.values())
