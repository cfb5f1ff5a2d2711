"""The composition root: settings, URLs, Celery and WSGI. It may import every app; no app imports it."""

from config.celery import app as celery_app
from config.metrics import share_metrics

__all__ = ["celery_app"]

share_metrics()
