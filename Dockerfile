# Needs BuildKit, the default since Docker 23, or Buildah. Give a digest for a base that never moves:
#   docker build --build-arg PYTHON_IMAGE=python:3.13-slim-trixie@sha256:... .
ARG PYTHON_IMAGE=python:3.13-slim-trixie

# Stage 1 makes the wheel; of this stage nothing else gets into the image.
FROM ${PYTHON_IMAGE} AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY exporter exporter
COPY alerts alerts
COPY grafana grafana
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheel .

# Stage 2 is the image.
FROM ${PYTHON_IMAGE}

# The wheel is mounted, so no layer keeps it. Binary wheels only: a dependency without one should fail the build, not ask
# for a compiler. The base image ships the standard library without bytecode and user 65532 could not store any, so it is
# made here, by pip for what it installs, by the import for what the exporter and the health check use.
RUN --mount=type=bind,from=build,source=/wheel,target=/wheel \
    python -m venv --without-pip /opt/venv \
 && pip --python /opt/venv/bin/python install --no-cache-dir --only-binary=:all: /wheel/*.whl \
 && /opt/venv/bin/python -c 'import falco_enrichment_exporter.service, urllib.request, uvloop' \
 && /opt/venv/bin/falco-enrichment-exporter version

# Unbuffered, so that a log line is out before a crash.
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1

# A number, so that Kubernetes can check runAsNonRoot. It must be able to read the log: --group-add, or fsGroup.
USER 65532:65532
EXPOSE 9377
STOPSIGNAL SIGTERM

# No curl here, so Python asks; no proxy, for Docker may put one into the environment. With another --web.listen-address
# give --health-cmd or --no-healthcheck. Kubernetes ignores this; probe /-/healthy and /-/ready there.
HEALTHCHECK --interval=30s --timeout=5s --start-period=15s --retries=3 \
    CMD ["python", "-Ic", "from urllib.request import *; build_opener(ProxyHandler({})).open('http://127.0.0.1:9377/-/healthy', timeout=4)"]

# serve wants to be told what to follow: --source.paths after the image's name (repeat "serve"),
# or FALCO_ENRICHMENT_SOURCE__PATHS in the environment.
ENTRYPOINT ["falco-enrichment-exporter"]
CMD ["serve"]

# Last, so that a new revision does not make the layers above anew.
ARG VERSION=dev
ARG REVISION=unknown
LABEL org.opencontainers.image.title="falco-enrichment-exporter" \
      org.opencontainers.image.description="Prometheus exporter for the health of Falco's enrichment" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
