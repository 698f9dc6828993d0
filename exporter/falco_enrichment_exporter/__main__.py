"""Run the command line with ``python -m falco_enrichment_exporter``."""

from falco_enrichment_exporter.cli import main

raise SystemExit(main())
