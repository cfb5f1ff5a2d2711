"""`manage.py prepare`: everything that must have happened before the processes start."""

import hashlib
from argparse import ArgumentParser
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.staticfiles.finders import get_finders
from django.core.management import call_command
from django.core.management.base import BaseCommand
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from apps.backoffice.roles import establish_roles
from apps.common import jobruns
from apps.common.garbage import spare_what_is_loaded
from apps.common.models import Heartbeat
from apps.common.partitions import maintain_partitions
from apps.common.wakeups import wake


class Command(BaseCommand):
    help = "Migrate, make partitions and roles, collect static files; with --demo, seed the demo accounts too."
    # A fifth of what it takes: `_migrate` makes them when a release brings something new.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--base-url", default=settings.BASE_URL)
        parser.add_argument("--demo", type=Path, metavar="PATH", help="where the demo's keys go")
        parser.add_argument("--admin-password", default="")
        parser.add_argument(
            "--fresh-start",
            action="store_true",
            help="nothing of this installation runs yet: forget the heartbeats of the last time",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        with ThreadPoolExecutor(
            1
        ) as threads:  # files and tables have nothing to do with each other
            collected = threads.submit(self._collect_static)
            self._migrate()
        collected.result()
        maintain_partitions()
        jobruns.register()
        establish_roles()
        if options["fresh_start"]:
            Heartbeat.objects.all().delete()
        self._wake_heartbeats()
        if options["demo"]:
            call_command(
                "seed_demo",
                base_url=options["base_url"],
                output=options["demo"],
                admin_password=options["admin_password"],
            )

    def _migrate(self) -> None:
        executor = MigrationExecutor(connection)
        plan = executor.migration_plan(executor.loader.graph.leaf_nodes())
        if plan:
            self.stdout.write(f"applying {len(plan)} migrations")
            self.check()
            spare_what_is_loaded()  # models are made by the thousand, and collected
            call_command("migrate", interactive=False, verbosity=0)

    def _wake_heartbeats(self) -> None:
        """The first thing that a worker finds when it starts, so that /readyz need not wait for beat."""
        for job in settings.JOBS:
            if job.startswith("common.heartbeat."):
                wake(job)

    def _collect_static(self) -> None:
        """Collecting hashes and compresses every file, so it is done only when one has changed."""
        digest = hashlib.sha256()
        for finder in get_finders():
            for name, storage in finder.list([]):
                status = Path(storage.path(name)).stat()
                digest.update(f"{name} {status.st_size} {status.st_mtime_ns}\n".encode())
        mark = Path(settings.STATIC_ROOT) / ".collected"
        if mark.exists() and mark.read_text() == digest.hexdigest():
            return
        self.stdout.write("collecting static files")
        call_command("collectstatic", interactive=False, verbosity=0)
        mark.write_text(digest.hexdigest())
