"""Who acts: an API key, a person in the back office, or the system itself."""

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID


class ActorKind(StrEnum):
    API_KEY = "api_key"
    USER = "user"
    SYSTEM = "system"


@dataclass(frozen=True, slots=True)
class Actor:
    """Whoever causes a change; services take one, events and history keep it.

    `id` is the key's or user's id, or the job's name; `label` is what a person may read: the key's
    prefix, the user name, the job's name. `request_id` is empty outside a request.
    """

    kind: ActorKind
    id: str
    label: str
    request_id: str = ""

    def as_json(self) -> dict[str, str]:
        """For the `actor` column of events and history."""
        return {"kind": self.kind.value, "id": self.id, "label": self.label}


def system(job: str) -> Actor:
    """The actor of a background job, e.g. `orders.expire`."""
    return Actor(kind=ActorKind.SYSTEM, id=job, label=job)


@dataclass(frozen=True, slots=True)
class Principal:
    """An authenticated API key: what `request.user` is in every API view."""

    account_id: UUID
    account_slug: str
    key_id: UUID
    key_prefix: str
    scopes: frozenset[str]

    is_authenticated = True

    def may(self, scope: str) -> bool:
        """Whether the key holds `scope`; `x:write` implies `x:read`."""
        if scope in self.scopes:
            return True
        room, _, right = scope.partition(":")
        return right == "read" and f"{room}:write" in self.scopes

    def actor(self, request_id: str) -> Actor:
        """This key as the actor of a change."""
        return Actor(
            kind=ActorKind.API_KEY,
            id=str(self.key_id),
            label=self.key_prefix,
            request_id=request_id,
        )
