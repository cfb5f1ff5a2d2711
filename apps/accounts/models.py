"""Accounts (the businesses that use Tradepost), their API keys, and the people of the back office."""

from django.contrib.auth.models import AbstractUser
from django.contrib.postgres.fields import ArrayField
from django.core.validators import validate_slug
from django.db import models
from django.db.models.functions import Now

from apps.accounts.enums import DEFAULT_RATE_LIMIT
from apps.common.ids import uuid7


class User(AbstractUser):
    """A person who signs in to the back office. API clients are accounts with keys instead."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)


class Account(models.Model):
    """A business: a shop, a seller, a buyer. Everything else belongs to one."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    slug = models.CharField(max_length=63, unique=True, validators=[validate_slug])
    name = models.CharField(max_length=200)
    legal_name = models.CharField(max_length=200, blank=True)
    address = models.TextField(blank=True)
    email = models.EmailField(blank=True)
    tax_id = models.CharField(max_length=50, blank=True)
    tax_rate = models.DecimalField(
        max_digits=5, decimal_places=2, default=0, help_text="Percent, for invoices."
    )
    version = models.PositiveIntegerField(default=1, editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    updated_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        constraints = [
            models.CheckConstraint(
                condition=models.Q(tax_rate__gte=0, tax_rate__lte=100), name="account_tax_rate"
            )
        ]

    def __str__(self) -> str:
        return self.slug


class ApiKey(models.Model):
    """A key that an account's programs call with; only its hash is kept."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    account = models.ForeignKey(Account, models.CASCADE, related_name="api_keys")
    name = models.CharField(max_length=100)
    prefix = models.CharField(max_length=20, help_text="The readable start of the key.")
    hash = models.BinaryField(max_length=32, unique=True, editable=False)
    scopes = ArrayField(models.CharField(max_length=40))
    rate_limit = models.PositiveIntegerField(
        default=DEFAULT_RATE_LIMIT, help_text="Calls a minute."
    )
    last_used_at = models.DateTimeField(null=True, editable=False, help_text="To about a minute.")
    expires_at = models.DateTimeField(null=True, blank=True)
    revoked_at = models.DateTimeField(null=True, editable=False)
    rotated_at = models.DateTimeField(null=True, editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        verbose_name = "API key"
        indexes = [models.Index(fields=["account", "-id"], name="apikey_account")]

    def __str__(self) -> str:
        return f"{self.prefix}… ({self.name})"
