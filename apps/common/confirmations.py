"""What a person confirms is done once to each object, however often the form is sent.

The page that asks carries an id of its own. What was done under it is remembered in the transaction that does
it, beside the answers of retried POSTs, and for as long.
"""

import hashlib
from collections.abc import Mapping
from uuid import UUID

import orjson
from django.db import OperationalError, transaction
from django.db.models import Model

from apps.common.actor import Actor
from apps.common.bulk import TOO_LONG, Operation, Result, carry_out, took_too_long
from apps.common.models import IdempotencyKey
from apps.common.retries import retried


def carry_out_once(
    *,
    operation: Operation,
    row: Model,
    actor: Actor,
    inputs: Mapping[str, str],
    confirmation: UUID,
) -> Result:
    """Do it to one object, or say what was done when this confirmation came before.

    What was refused is not remembered, and no secret is.
    """
    try:
        return _once(operation, row, actor, inputs, confirmation)
    except OperationalError as error:
        if took_too_long(error):
            return Result(False, TOO_LONG)
        raise


@retried
@transaction.atomic
def _once(
    operation: Operation, row: Model, actor: Actor, inputs: Mapping[str, str], confirmation: UUID
) -> Result:
    asked = orjson.dumps([operation.name, sorted(inputs.items())])
    fingerprint = hashlib.sha256(asked).hexdigest()
    # A second one at the same moment waits here until the first has ended.
    done, is_new = IdempotencyKey.objects.get_or_create(
        account_id=UUID(actor.id),
        key=f"{confirmation} {row.pk}",
        defaults={"fingerprint": fingerprint, "status": 0, "body": b""},
    )
    if not is_new:
        said = bytes(done.body).decode()
        if done.fingerprint != fingerprint:
            return Result(
                False, f"This page was sent before, and did this: {said} Take the action anew."
            )
        return Result(True, f"This was sent before, and is not done again: {said}")
    result = carry_out(operation, row, actor, inputs)
    if result.is_done:
        done.body = result.said.encode()
        done.save(update_fields=["body"])
    else:
        done.delete()
    return result
