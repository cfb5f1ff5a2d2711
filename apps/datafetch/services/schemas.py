"""What a stream's records look like, version by version, and what happens when they change."""

from dataclasses import dataclass, field
from typing import Any

from django.db import transaction

from apps.common import clock
from apps.common.actor import system
from apps.datafetch.enums import SchemaPolicy
from apps.datafetch.events import SCHEMA_CHANGED, schema_change_object
from apps.datafetch.models import Progress, Run, SchemaVersion, Stream
from apps.datafetch.selectors import newest_schema
from apps.datafetch.services import notices, runs
from apps.datafetch.sources import forms
from apps.datafetch.sources.forms import Form
from apps.datafetch.sources.source import Source
from apps.events.publishing import draft, publish


def binding(stream: Stream, progress: Progress, run: Run, source: Source) -> Form | None:
    """The form that records must have; None where any will do.

    It binds nobody while the first whole run finds it out, nor in the run that found it anew because the
    owner has changed the mapping.
    """
    if stream.schema_policy == SchemaPolicy.EVOLVE or progress.succeeded_at is None:
        return None
    version = newest_schema(stream)
    if version is None or bytes(version.shape) != source.form or version.run_id == run.id:
        return None
    return forms.of_schema(version.schema)


@dataclass(slots=True)
class Held:
    """The newest schema as a worker has seen it last, so that it is not read with each page."""

    number: int | None = None
    form: Form = field(default_factory=dict)
    shape: bytes = b""

    def has_room(self, newest: int | None, form: Form, shape: bytes) -> bool:
        """Whether it is the newest one still, and `form` widens it by nothing."""
        return (
            self.number is not None
            and (self.number, self.shape) == (newest, shape)
            and forms.merged(self.form, form) == self.form
        )


def keep(
    stream: Stream, current: Progress, run: Run, form: Form, shape: bytes, held: Held
) -> int | None:
    """The number of the schema that has room for `form`, a new one if need be; the progress is locked.
    It is `held` from now on."""
    version = _kept(stream, current, run, form, shape)
    if version is None:
        return None
    held.number, held.shape = version.number, bytes(version.shape)
    held.form = forms.of_schema(version.schema)
    return version.number


def _kept(
    stream: Stream, current: Progress, run: Run, form: Form, shape: bytes
) -> SchemaVersion | None:
    version = newest_schema(stream)
    if version is None:
        return _add(stream, run, 1, form, shape) if form else None
    known = forms.of_schema(version.schema)
    wider = forms.merged(known, form)
    if wider != known and current.succeeded_at is not None:
        added = _add(stream, run, version.number + 1, wider, shape)
        _tell(stream, added.number, known, wider)
        return added
    is_other = bytes(version.shape) != shape
    if wider != known or is_other:
        version.schema, version.shape = forms.as_schema(wider), shape
        version.run_id = run.id if is_other else version.run_id  # whom it does not bind
        version.save(update_fields=["schema", "shape", "run_id"])
    return version


def tell_of_strangers(stream: Stream, current: Progress, found: Form) -> None:
    """Tell, once, that records came which the policy does not let in; the progress is locked."""
    if not found:
        return
    told = {name: set(kinds) for name, kinds in (current.strangers or {}).items()}
    wider = forms.merged(told, found)
    if wider == told:
        return
    stored = {name: sorted(kinds) for name, kinds in wider.items()}
    Progress.objects.filter(pk=current.pk).update(strangers=stored)
    current.strangers = stored
    version = newest_schema(stream)
    if version is not None:
        known = forms.of_schema(version.schema)
        _tell(stream, version.number, known, forms.merged(known, found))


@transaction.atomic
def refuse(stream: Stream, progress: Progress, found: Form) -> None:
    """The same for a page of which nothing is stored."""
    tell_of_strangers(stream, runs.locked(progress), found)


def _add(stream: Stream, run: Run, number: int, form: Form, shape: bytes) -> SchemaVersion:
    return SchemaVersion.objects.create(
        stream=stream,
        number=number,
        schema=forms.as_schema(forms.merged({}, form)),
        shape=shape,
        run_id=run.id,
    )


def _tell(stream: Stream, number: int, known: Form, wider: Form) -> None:
    change: dict[str, Any] = {
        "added": sorted(wider.keys() - known.keys()),
        "widened": sorted(name for name, kinds in known.items() if wider[name] != kinds),
    }
    notices.tell_of_drift(stream, change)
    publish(
        draft(
            SCHEMA_CHANGED,
            account_id=stream.account_id,
            subject=stream.id,
            object=schema_change_object(stream, number, **change),
            actor=system(runs.READ),
            at=clock.now(),
        )
    )
