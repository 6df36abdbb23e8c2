# Sfumato's service on a processor: docker build -t sfumato . && docker run --rm -p 8000:8000 sfumato
# The first stage installs into a virtual environment; the second one holds nothing but it and Python.
FROM python:3.11-slim-bookworm AS build

ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/sfumato
ENV PATH=/opt/sfumato/bin:$PATH
WORKDIR /src
# PyTorch is a layer of its own: it changes more seldom than the package. Its build for the processor lacks the libraries of GPUs.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
COPY constraints.txt ./
RUN pip install -c constraints.txt --extra-index-url "$TORCH_INDEX" torch==2.13.0+cpu
COPY pyproject.toml README.md LICENSE CITATION.cff SECURITY.md ./
COPY sfumato ./sfumato
RUN pip install -c constraints.txt ".[serve,heif]"

FROM python:3.11-slim-bookworm

RUN useradd --uid 10001 --create-home sfumato
COPY --from=build /opt/sfumato /opt/sfumato
ENV PATH=/opt/sfumato/bin:$PATH PYTHONUNBUFFERED=1
USER 10001
WORKDIR /home/sfumato
EXPOSE 8000
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/ready', timeout=4)"]
# `docker stop` sends SIGTERM, and requests that were taken are completed: give them time with --timeout.
ENTRYPOINT ["sfumato", "serve", "--host", "0.0.0.0"]
