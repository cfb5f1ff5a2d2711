"""Each kind of process loads what it needs (docs/adr/0034)."""

import json
import os
import subprocess
import sys
from functools import cache

import pytest
from django.contrib.admin import site

_TELL = "import json, sys, threading; print(json.dumps([threading.active_count(), *sys.modules]))"
_WORKER = "import config.worker as w; w.take_settings(); w.app.loader.import_default_modules(); "


@cache
def loaded(program: str) -> tuple[int, set[str]]:
    """How many threads a process of its own has after `program`, and which modules."""
    environment = {k: v for k, v in os.environ.items() if k != "DJANGO_SETTINGS_MODULE"}
    done = subprocess.run(
        [sys.executable, "-c", f"{program}; {_TELL}"],
        check=True,
        capture_output=True,
        text=True,
        env=environment,
    )
    threads, *modules = json.loads(done.stdout)
    return threads, set(modules)


def test_a_worker_loads_its_tasks_and_neither_pages_nor_the_api() -> None:
    _, modules = loaded(f"{_WORKER}import celery.apps.worker")

    assert {"apps.deals.tasks", "apps.webhooks.tasks", "apps.crm.handlers"} <= modules
    assert not modules & {"rest_framework", "drf_spectacular", "unfold", "config.urls"}
    assert not {name for name in modules if name.startswith("apps.") and ".admin" in name}


def test_a_worker_can_do_whatever_the_back_office_may_ask_of_it() -> None:
    ask = "from apps.common import bulk; assert bulk.registered('orders.order.cancel')"
    _, modules = loaded(f"{_WORKER}{ask}")

    assert {type(page).__module__ for page in site._registry.values()} <= modules


def test_beat_loads_the_table_of_jobs_and_no_app() -> None:
    _, modules = loaded("import config.beat; config.beat.app.conf.beat_schedule")

    assert "config.settings.jobs" in modules
    assert not {name for name in modules if name.startswith("apps.")} - {
        "apps.common",
        "apps.common.garbage",
    }


def test_web_loads_what_it_may_be_asked_for_and_can_be_forked() -> None:
    threads, modules = loaded("import config.web")

    assert {"apps.orders.api.views", "apps.deals.admin.deals"} <= modules
    assert threads == 1


@pytest.mark.parametrize("program", ["import config.web", _WORKER.removesuffix("; ")])
def test_what_is_large_and_rarely_asked_for_waits(program: str) -> None:
    _, modules = loaded(program)

    assert not modules & {"reportlab", "pyarrow"}
