"""Prometheus exporter for the health of Falco's enrichment."""

__version__ = "0.1.0"
