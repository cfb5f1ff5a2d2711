"""`manage.py streams`: list, start, stop and run streams from the command line."""

from argparse import ArgumentParser
from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.core.management.base import BaseCommand, CommandError

from apps.common.actor import system
from apps.common.errors import DomainError
from apps.datafetch.events import health
from apps.datafetch.models import Stream
from apps.datafetch.services import commands

COMMANDS: dict[str, Callable[..., object]] = {
    "start": commands.start_stream,
    "stop": commands.stop_stream,
    "run": commands.run_stream,
}


class Command(BaseCommand):
    help = "List streams, or start, stop or run some."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("command", choices=["list", *COMMANDS])
        parser.add_argument("id", nargs="*", type=UUID, help="of streams; none for all")
        parser.add_argument("--account", metavar="SLUG", help="of this account alone")

    def handle(self, *args: Any, **options: Any) -> None:
        streams = Stream.objects.filter(deleted_at=None).select_related("account", "progress")
        if options["id"]:
            streams = streams.filter(pk__in=options["id"])
        if options["account"]:
            streams = streams.filter(account__slug=options["account"])
        failed = 0
        for stream in streams.order_by("pk"):
            try:
                said = self._do(options["command"], stream)
            except DomainError as error:
                said, failed = error.detail, failed + 1
            self.stdout.write(f"{stream.id}  {stream.account.slug}  {stream.name}: {said}")
        missing = set(options["id"]) - set(streams.values_list("pk", flat=True))
        if missing:
            raise CommandError(f"There is no stream {', '.join(map(str, missing))}.")
        if failed and options["id"]:
            raise CommandError(f"{failed} of them stayed as they were.")

    def _do(self, command: str, stream: Stream) -> str:
        if command == "list":
            progress = stream.progress
            return f"{stream.state}, {health(progress)}, {progress.record_count} records"
        COMMANDS[command](
            account_id=stream.account_id, stream_id=stream.id, actor=system("manage.py streams")
        )
        return "done"
