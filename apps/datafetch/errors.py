"""What can go wrong with streams, as their owners are told."""

from typing import Self

from apps.common.errors import Conflict, Fault, Invalid, NotFound, TooOften, Unavailable


class StreamNotFound(NotFound):
    code = "stream_not_found"


class RunNotFound(NotFound):
    code = "run_not_found"


class AlreadyRunning(Conflict):
    """The stream was started before."""

    code = "already_running"


class NotRunning(Conflict):
    """The stream was stopped before, or never started."""

    code = "not_running"


class TooManyStreams(Conflict):
    """The account has as many streams as it may have."""

    code = "too_many_streams"


class ConsumerNotFound(NotFound):
    code = "consumer_not_found"


class TooManyConsumers(Conflict):
    """The stream has as many consumers as it may have."""

    code = "too_many_consumers"


class ConsumerMoved(Conflict):
    """The consumer is not where its client believes it to be."""

    code = "consumer_moved"


class RunInProgress(Conflict):
    """The stream has a run in progress, and may have one alone."""

    code = "run_in_progress"


class NotRemappable(Conflict):
    """Records cannot be found again in the pages that are kept."""

    code = "not_remappable"


class NothingKept(Conflict):
    """No page is kept whose records have the keys that they have now."""

    code = "nothing_kept"


class PreviewTooSoon(TooOften):
    """A stream was looked at a moment ago, or its host wants to be left alone for a time."""

    code = "preview_too_soon"


class TooManyPreviews(Unavailable):
    """A process has no thread to spare for another look at a remote API."""

    code = "too_many_previews"
    title = "Too many previews are under way"


class StreamInvalid(Invalid):
    """The parts of a stream's configuration do not fit together."""

    code = "stream_invalid"

    @classmethod
    def at(cls, pointer: str, code: str, detail: str) -> Self:
        """The error, pointing at one wrong place."""
        return cls(detail, faults=[Fault(pointer, code, detail)])


class RecordsInvalid(StreamInvalid):
    """Records cannot be had like this."""

    code = "invalid"


class ConsumerInvalid(StreamInvalid):
    """A consumer cannot be moved there, or not like this."""

    code = "consumer_invalid"
