"""What people do in the back office."""

from typing import Any
from uuid import uuid4

from django.test import Client


def act(office: Client, page: str, action: str, *chosen: Any, **fields: Any) -> str:
    """Choose objects in the list of `page` (`orders/order`), take an action, confirm it; what the page that
    comes then says."""
    ids = {"_selected_action": [str(one) for one in chosen]}
    asked = office.post(f"/admin/{page}/", {"action": action, **ids})
    assert asked.status_code == 200, asked.content
    assert "admin/acting/confirm.html" in [template.name for template in asked.templates]
    return confirm(office, page, action, *chosen, **fields)


def confirm(office: Client, page: str, action: str, *chosen: Any, **fields: Any) -> str:
    """Confirm an action, as its page of confirmation would."""
    ids = {"_selected_action": [str(one) for one in chosen], "confirmation": str(uuid4())}
    answer = office.post(f"/admin/{page}/act/{action}/", {**ids, **fields}, follow=True)
    assert answer.status_code == 200, answer.content
    return str(answer.content.decode())
