"""Celery: the one table of background jobs, from which routes and the beat schedule are made."""

from typing import Any, NamedTuple

from kombu import Exchange, Queue

from config.settings import env


class Job(NamedTuple):
    """A reconciler: its queue, and how often beat sweeps for what a lost wake-up left behind."""

    queue: str
    every_seconds: float


JOBS: dict[str, Job] = {
    "events.dispatch": Job("fast", 1.0),
    "webhooks.fan_out": Job("fast", 1.0),
    "webhooks.deliver": Job("fast", 1.0),
    "webhooks.judge": Job("slow", 10.0),
    "webhooks.replay": Job("fast", 1.0),
    "webhooks.trim": Job("slow", 600.0),
    "orders.expire": Job("slow", 2.0),
    "orders.erase": Job("slow", 10.0),
    "deals.expire_bids": Job("slow", 1.0),  # before those of its second that take long
    "crm.sync": Job("slow", 1.0),
    "crm.check": Job("slow", 5.0),
    "crm.deals": Job("slow", 1.0),
    "crm.inbound": Job("slow", 2.0),
    "crm.erase": Job("slow", 10.0),
    "crm.import": Job("slow", 5.0),
    "crm.trim": Job("slow", 600.0),
    "deals.close_auctions": Job("fast", 1.0),
    "datafetch.read": Job("slow", 1.0),
    "datafetch.remove": Job("slow", 60.0),
    "datafetch.trim": Job("slow", 600.0),
    "orders.reconcile_stock": Job("slow", 3600.0),
    "deals.mail_invoices": Job("slow", 5.0),
    "deals.remind": Job("slow", 60.0),
    "common.heartbeat.fast": Job("fast", 10.0),
    "common.heartbeat.slow": Job("slow", 10.0),
    "common.mail": Job("slow", 5.0),
    "common.bulk": Job("slow", 1.0),
    "common.maintain": Job("slow", 600.0),
    "events.trim": Job("slow", 600.0),
    "accounts.trim": Job("slow", 600.0),
    "backoffice.count_hours": Job("slow", 20.0),
}

CELERY_BROKER_URL = env.BROKER_URL
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
# A message of a worker that died comes back after this many seconds; nothing runs for so long.
CELERY_BROKER_TRANSPORT_OPTIONS = {"visibility_timeout": 300}
CELERY_RESULT_BACKEND = None
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_SERIALIZER = "json"
CELERY_ACCEPT_CONTENT = ["json"]
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS = True
CELERY_TIMEZONE = "UTC"
CELERY_TASK_CREATE_MISSING_QUEUES = False
# The anonymous exchange routes by queue name alone: no binding that a flushed Redis could lose.
CELERY_TASK_QUEUES = [Queue(name, Exchange(""), routing_key=name) for name in ("fast", "slow")]
CELERY_TASK_DEFAULT_QUEUE = "slow"
CELERY_TASK_ROUTES = {name: {"queue": job.queue} for name, job in JOBS.items()}

_SWEPT_TOGETHER: dict[Job, list[str]] = {}
for _name, _job in JOBS.items():
    _SWEPT_TOGETHER.setdefault(_job, []).append(_name)

# One message for all jobs of a queue that are swept as often, not one for each (docs/adr/0035).
CELERY_BEAT_SCHEDULE: dict[str, dict[str, Any]] = {
    f"{job.queue}, every {job.every_seconds:g} s": {
        "task": "common.sweep",
        "args": [names],
        "schedule": job.every_seconds,
        # A sweep that nobody took before the next one is due is not worth taking.
        "options": {"queue": job.queue, "expires": max(job.every_seconds, 2.0)},
    }
    for job, names in _SWEPT_TOGETHER.items()
}
