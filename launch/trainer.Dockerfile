# The trainer's image: Python, the locked packages and `octomed`, run by an ordinary user.
#
#   docker build -f launch/trainer.Dockerfile -t us-docker.pkg.dev/YOUR_PROJECT/octomed/trainer:0.1.0 .
#
# EXTRA is `tpu` or `gpu` (--build-arg EXTRA=gpu). Buckets can be read and written in either. Pin the base by digest where a build must be repeatable to the byte:
#   docker build --build-arg BASE=python:3.12.11-slim-bookworm@sha256:... .
ARG BASE=python:3.12.11-slim-bookworm
FROM ${BASE}

ARG EXTRA=tpu
ARG UV_VERSION=0.13.9
ENV PYTHONUNBUFFERED=1 \
    PIP_NO_CACHE_DIR=1 \
    UV_NO_CACHE=1 \
    UV_SYSTEM_PYTHON=1

RUN pip install --disable-pip-version-check "uv==${UV_VERSION}"

WORKDIR /octomed
# The packages first: they change less often than the code, and this layer is then taken from the cache.
COPY pyproject.toml requirements.txt requirements.lock README.md LICENSE ./
RUN uv pip install --compile-bytecode --constraint requirements.lock -r requirements.txt
COPY octomed_jax ./octomed_jax
COPY configs ./configs
RUN uv pip install --constraint requirements.lock ".[${EXTRA},gcs]"

RUN useradd --create-home --uid 10001 octomed
USER 10001
# That the environment is whole. Whether training goes on is the watchdog's matter, which ends it with exit code 42.
HEALTHCHECK --interval=5m --timeout=60s --start-period=1m --retries=3 CMD ["octomed", "--version"]
# No secrets here: HF_TOKEN and the like come from the environment of the running pod.
ENTRYPOINT ["octomed"]
CMD ["--help"]
