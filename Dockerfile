# The image of corti-worker, and with `--target sandbox` that of the sandbox, a local service that follows Corti's protocol.
#   docker build -t corti-worker .
#   docker build -t corti-sandbox --target sandbox .
# On a machine without Docker, `ops/image` builds both.

# The image of the Python version that all tests run on. For releases, pin it by digest: --build-arg BASE=...@sha256:...
ARG BASE=docker.io/library/python:3.11-slim-bookworm

FROM ${BASE} AS build
# The kernel does not deliver SIGTERM to PID 1 before the process has a handler for it. With tini as PID 1, a SIGTERM
# during the start of Python ends the container.
RUN apt-get update \
 && apt-get install --yes --no-install-recommends tini=0.19.* \
 && rm -rf /var/lib/apt/lists/*
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
COPY ops/pins/build.txt /pins/
RUN python -m venv /tools \
 && /tools/bin/pip install --require-hashes --only-binary=:all: --no-deps --requirement /pins/build.txt

# Files that rarely change are copied first, so that after a change in worker/ only the last two steps run again.
FROM build AS packages
COPY ops/pins/worker.txt /pins/
RUN python -m venv --without-pip /opt/corti-worker \
 && /tools/bin/pip --python /opt/corti-worker/bin/python install \
      --require-hashes --only-binary=:all: --no-deps --requirement /pins/worker.txt
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY worker worker
RUN /tools/bin/pip wheel --no-index --no-deps --no-build-isolation --wheel-dir /wheels . \
 && /tools/bin/pip --python /opt/corti-worker/bin/python install --no-index --no-deps /wheels/*.whl \
 && /opt/corti-worker/bin/corti-worker --version

FROM build AS sandbox-packages
COPY ops/pins/sandbox.txt /pins/
RUN python -m venv --without-pip /opt/corti-sandbox \
 && /tools/bin/pip --python /opt/corti-sandbox/bin/python install \
      --require-hashes --only-binary=:all: --no-deps --requirement /pins/sandbox.txt

FROM ${BASE} AS base
COPY --from=build /usr/bin/tini /usr/bin/tini
# The user is a number, because Kubernetes cannot check runAsNonRoot for a user name.
USER 10001:10001
WORKDIR /tmp
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1

FROM base AS sandbox
LABEL org.opencontainers.image.title="corti-sandbox" \
      org.opencontainers.image.description="A local service that follows Corti's protocol, for trying out corti-worker. Not for patient data." \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=sandbox-packages /opt/corti-sandbox /opt/corti-sandbox
COPY ops/__init__.py /opt/corti-sandbox/source/ops/
COPY ops/sandbox /opt/corti-sandbox/source/ops/sandbox
COPY ops/sample/dialogue.json /opt/corti-sandbox/source/ops/sample/
ENV PYTHONPATH=/opt/corti-sandbox/source
EXPOSE 8080
ENTRYPOINT ["/usr/bin/tini", "--", "/opt/corti-sandbox/bin/python", "-m", "ops.sandbox"]
CMD ["--host", "0.0.0.0", "--port", "8080", "--no-tls"]

FROM base AS worker
COPY --from=packages /opt/corti-worker /opt/corti-worker
ENV CORTI_WORKER_HEALTH_HOST=0.0.0.0
EXPOSE 9464
ENTRYPOINT ["/usr/bin/tini", "--", "/opt/corti-worker/bin/corti-worker"]
CMD ["run"]
# These arguments come last because they change with each commit.
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="corti-worker" \
      org.opencontainers.image.description="Queue worker that turns consultation audio into transcripts and clinical facts through the Corti API." \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
