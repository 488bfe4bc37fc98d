# One image for Ray's head and workers and for MLflow: softaug and exactly the versions of deploy/requirements.lock.
ARG PYTHON=python:3.11.13-slim-bookworm

FROM ${PYTHON} AS build
RUN python -m venv /opt/softaug
COPY deploy/requirements.lock /build/
RUN --mount=type=cache,target=/root/.cache/pip \
    /opt/softaug/bin/pip install --disable-pip-version-check --require-hashes -r /build/requirements.lock
COPY pyproject.toml README.md /build/
COPY softaug /build/softaug
COPY trainables /build/trainables
COPY sweeps /build/sweeps
COPY analysis /build/analysis
RUN /opt/softaug/bin/pip install --disable-pip-version-check --no-deps --no-build-isolation /build

FROM ${PYTHON}
# The commit that `why` and MLflow show, since the image holds no git checkout.
ARG SOFTAUG_COMMIT=unknown
# Whoever runs a container (`user:` in docker-compose.yml) need not be known to it: no name is looked up.
ENV PATH=/opt/softaug/bin:$PATH \
    HOME=/srv/softaug \
    USER=softaug \
    TZ=UTC \
    PYTHONDONTWRITEBYTECODE=1 \
    MPLCONFIGDIR=/tmp/matplotlib \
    RAY_USAGE_STATS_ENABLED=0 \
    MLFLOW_DISABLE_TELEMETRY=true \
    MLFLOW_ALLOW_PICKLE_DESERIALIZATION=false \
    SOFTAUG_COMMIT=${SOFTAUG_COMMIT}
RUN useradd --uid 10001 --user-group --create-home --home-dir /srv/softaug softaug \
    && install -d -m 1777 /srv/softaug /runs /artifacts
COPY --from=build /opt/softaug /opt/softaug
# A login shell, as KubeRay starts Ray, forgets the PATH above.
RUN ln -s /opt/softaug/bin/ray /opt/softaug/bin/softaug /opt/softaug/bin/mlflow /usr/local/bin/
COPY deploy/mlflow /opt/softaug/deploy/mlflow
COPY deploy/ray /opt/softaug/deploy/ray
USER 10001:10001
WORKDIR /tmp
CMD ["softaug", "--help"]
