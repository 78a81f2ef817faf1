# One image for the code location, the daemon and the webserver.
#
#   docker build -t rag-assets .
#
# Without a GPU, pass PIP_EXTRA_INDEX_URL (the index of PyTorch's CPU builds) and
# TORCH_REQUIREMENT=torch==2.13.0+cpu: the image is then several GB smaller.

FROM python:3.11-slim AS build

ARG TORCH_REQUIREMENT=torch==2.13.0
ARG PIP_EXTRA_INDEX_URL=
# Extras of pyproject.toml: deploy, docker, k8s, ray, vllm, quality.
ARG EXTRAS=deploy

ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH
WORKDIR /src

# Dependencies first, with an empty package: an edit of the code does not install them again.
COPY pyproject.toml constraints.txt LICENSE README.md ./
RUN mkdir rag_assets && touch rag_assets/__init__.py \
 && pip install -c constraints.txt "${TORCH_REQUIREMENT}" ".[${EXTRAS}]" \
 && pip uninstall --yes rag-assets

COPY rag_assets rag_assets
RUN rm -rf build ./*.egg-info && pip install --no-deps .


FROM python:3.11-slim

# /app/.dagster is DAGSTER_HOME: dagster.yaml is mounted there. /store is for a store on a volume.
RUN useradd --uid 10001 --create-home rag \
 && mkdir -p /app/.dagster /store \
 && chown -R rag:rag /app /store

COPY --from=build /opt/venv /opt/venv
COPY --chown=rag:rag corpora /app/corpora

ENV PATH=/opt/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    DAGSTER_HOME=/app/.dagster \
    DAGSTER_DISABLE_TELEMETRY=yes

USER rag
WORKDIR /app
EXPOSE 4000

# The first load of the code takes seconds, not minutes; models load when a step needs them.
HEALTHCHECK --interval=15s --timeout=10s --start-period=60s --retries=3 \
    CMD ["dagster", "api", "grpc-health-check", "--port", "4000"]

CMD ["dagster", "api", "grpc", "--host", "0.0.0.0", "--port", "4000", "--module-name", "rag_assets.definitions"]
