"""`manage.py prepare`: everything that must have happened before the processes start."""

from argparse import ArgumentParser
from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand
from django.db import connection
from django.db.migrations.executor import MigrationExecutor

from apps.common.partitions import maintain_partitions


class Command(BaseCommand):
    help = "Migrate, make partitions, collect static files; with --demo, seed the demo accounts too."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--base-url", default="")
        parser.add_argument("--demo", default="", metavar="PATH", help="where the demo's keys go")
        parser.add_argument("--admin-password", default="")

    def handle(self, *args: Any, **options: Any) -> None:
        executor = MigrationExecutor(connection)
        if executor.migration_plan(executor.loader.graph.leaf_nodes()):
            call_command("migrate", interactive=False, verbosity=options["verbosity"])
        maintain_partitions()
        call_command("collectstatic", interactive=False, verbosity=0)
        if options["demo"]:
            call_command(
                "seed_demo",
                base_url=options["base_url"],
                output=options["demo"],
                admin_password=options["admin_password"],
            )
