# The teacher's image: vLLM's own, with an ordinary user and a health check that asks for a real token.
#
#   docker build -f launch/teacher.Dockerfile -t us-docker.pkg.dev/YOUR_PROJECT/octomed/teacher:0.32.0 .
#
# Pin the base by digest where a build must be repeatable to the byte:
#   docker build -f launch/teacher.Dockerfile --build-arg BASE=vllm/vllm-openai:v0.32.0@sha256:... .
ARG BASE=vllm/vllm-openai:v0.32.0
FROM ${BASE}

USER root
# Weights come into /cache; on a cluster a volume is mounted there.
RUN useradd --uid 10001 --home-dir /cache --create-home octomed
ENV HOME=/cache \
    HF_HOME=/cache/huggingface \
    VLLM_NO_USAGE_STATS=1 \
    DO_NOT_TRACK=1
COPY octomed_jax/launching/backends/token_probe.py /opt/octomed/token_probe.py
USER 10001
EXPOSE 8000
# Kubernetes has the same script as its probes, with the model's name.
HEALTHCHECK --interval=60s --timeout=60s --start-period=2h --retries=5 CMD ["python3", "/opt/octomed/token_probe.py", "8000"]
# No secrets here: HF_TOKEN and VLLM_API_KEY come from the environment of the running pod.
ENTRYPOINT ["vllm", "serve"]
CMD ["--help"]
