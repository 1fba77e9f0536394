# The service's image: both processes, or one of them, as a user of its own. docs/running.md has its use.
ARG PYTHON=3.13

FROM python:${PYTHON}-slim AS build
COPY requirements/base.txt /tmp/
# An environment without pip, which the service never calls.
RUN python -m venv --without-pip /venv \
 && python -m pip --python /venv/bin/python install --no-cache-dir --disable-pip-version-check \
    --require-hashes --only-binary :all: -r /tmp/base.txt

FROM python:${PYTHON}-slim
RUN useradd --uid 10001 --no-create-home --home-dir /data --shell /usr/sbin/nologin agent \
 && install -d -o agent -m 0700 /data
COPY --from=build /venv /venv
WORKDIR /app
COPY manage.py pyproject.toml ./
COPY sessions_store sessions_store
COPY agent_conversations agent_conversations
COPY config config
RUN /venv/bin/python -m compileall -q .

ENV PATH=/venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    HOST=0.0.0.0 \
    DATA_DIR=/data
USER 10001
VOLUME /data
EXPOSE 8000 8001
# Whether the process is alive, not whether Redis is: a container that is restarted does not mend Redis.
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s --retries=3 \
  CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/health/live', timeout=4)"]
ENTRYPOINT ["python", "manage.py"]
CMD ["serve"]
