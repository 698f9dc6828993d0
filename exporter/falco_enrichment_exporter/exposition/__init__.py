"""The rim on the output side: state to Prometheus metric families."""
