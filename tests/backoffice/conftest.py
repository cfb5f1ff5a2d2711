"""People of the back office, by role."""

from typing import Protocol

import pytest
from django.contrib.auth.models import Group
from django.test import Client

from apps.accounts.models import User
from apps.backoffice.roles import Role, establish_roles


class SignIn(Protocol):
    def __call__(self, *roles: Role) -> Client: ...


@pytest.fixture
def signed_in(db: None) -> SignIn:
    """Browsers of staff: `signed_in(Role.FINANCE)`."""
    establish_roles()

    def sign_in(*roles: Role) -> Client:
        person = User.objects.create_user("-".join(roles) or "nobody", is_staff=True)
        person.groups.set(Group.objects.filter(name__in=roles))
        client = Client()
        client.force_login(person)
        return client

    return sign_in
