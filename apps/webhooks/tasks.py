"""Celery's doors to delivery."""

from typing import Any

from celery.signals import worker_init, worker_shutdown, worker_shutting_down

from apps.common.leases import reconcile
from apps.common.tasks import job
from apps.webhooks.delivering import delivering
from apps.webhooks.fanout import continue_fan_out
from apps.webhooks.handlers import FAN_OUT
from apps.webhooks.judging import JUDGE, judge
from apps.webhooks.replays import REPLAY, continue_replay, trim_replays
from apps.webhooks.services import DELIVER, forget_expired_secrets

DRAIN_SECONDS = 10.0


@job(DELIVER)
def deliver() -> bool:
    """Claim what is due and hand it to this process's sender."""
    return delivering.deliver()


@job(FAN_OUT)
def fan_out() -> bool:
    """Go on making deliveries of events that have more endpoints than one transaction serves."""
    return reconcile(continue_fan_out)


@job(REPLAY)
def replay() -> bool:
    """Owe the next deliveries of replays, a batch at a time."""
    return reconcile(continue_replay)


@job(JUDGE)
def judge_endpoints() -> bool:
    """Let the status of endpoints follow how they do."""
    return reconcile(judge)


@job("webhooks.trim")
def trim() -> bool:
    """Forget replays that ended long ago, and secrets that sign no more."""
    forget_expired_secrets()
    return trim_replays()


@worker_init.connect
def take_name(sender: Any, **_: Any) -> None:
    """Hold leases under the worker's name, which it has again when it is started again."""
    delivering.leases.take_over(sender.hostname)


@worker_shutting_down.connect
def _close(**_: Any) -> None:
    delivering.sender.close()


@worker_shutdown.connect
def _stop(**_: Any) -> None:
    delivering.stop(DRAIN_SECONDS)
