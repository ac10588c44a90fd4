# A service for packages that are mounted at /packages. TARGET is cpu, or cuda on NVIDIA's driver.
#   docker build --tag sightline .
#   docker build --tag sightline:cuda --build-arg TARGET=cuda .
#   docker run --publish 127.0.0.1:8000:8000 --volume "$PWD/package:/packages/model:ro" sightline
ARG TARGET=cpu

FROM python:3.11-slim-bookworm AS build
WORKDIR /build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
COPY pyproject.toml README.md LICENSE constraints.txt ./
COPY src src
RUN python -m venv /venv \
    && /venv/bin/pip install --constraint constraints.txt '.[serve]'

FROM build AS build-cpu

# The same interface, with the execution provider for CUDA beside the one for CPUs.
FROM build AS build-cuda
RUN /venv/bin/pip uninstall --yes onnxruntime \
    && version="$(sed -n 's/^onnxruntime==//p' constraints.txt)" \
    && /venv/bin/pip install "onnxruntime-gpu[cuda,cudnn]==${version}"

FROM build-${TARGET} AS compiled
# Bytecode compiled once, so that no start pays for it.
RUN /venv/bin/python -m compileall -q /venv/lib

FROM python:3.11-slim-bookworm
LABEL org.opencontainers.image.title="sightline" org.opencontainers.image.licenses="Apache-2.0"
RUN useradd --uid 10001 --create-home --shell /usr/sbin/nologin sightline
COPY --from=compiled /venv /venv
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
USER 10001
VOLUME ["/packages"]
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=15s \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8000/v2/health/ready', timeout=2)"]
ENTRYPOINT ["sightline", "serve", "/packages", "--host", "0.0.0.0", "--port", "8000"]
CMD []
