"""Accounts (the businesses that use Tradepost), their API keys, and the people of the back office."""

from collections.abc import Iterator

from django.contrib.auth.models import AbstractUser
from django.contrib.postgres.fields import ArrayField
from django.core.validators import validate_slug
from django.db import models
from django.db.models.functions import Now

from apps.accounts.enums import DEFAULT_RATE_LIMIT
from apps.common.encryption import EncryptedTextField
from apps.common.ids import uuid7


class User(AbstractUser):
    """A person who signs in to the back office. API clients are accounts with keys instead."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    session_epoch = models.PositiveIntegerField(
        default=0,
        db_default=0,
        editable=False,
        help_text="Raised to end every session of this person.",
    )

    def get_session_auth_hash(self) -> str:
        """What a session must carry to be believed: it changes with the password, and with the epoch."""
        return f"{super().get_session_auth_hash()}.{self.session_epoch}"

    def get_session_auth_fallback_hash(self) -> Iterator[str]:
        """The same by each of SECRET_KEY_FALLBACKS."""
        for older in super().get_session_auth_fallback_hash():
            yield f"{older}.{self.session_epoch}"


class SecondFactor(models.Model):
    """What a person signs in with besides the password: an app that shows codes (TOTP, RFC 6238), and
    backup codes, each good for once, of which the hashes are kept."""

    user = models.OneToOneField(
        User, models.CASCADE, primary_key=True, related_name="second_factor"
    )
    secret = EncryptedTextField(help_text="Shared with the app; in base32.")
    confirmed_at = models.DateTimeField(null=True, help_text="Null until the app has shown a code.")
    last_step = models.BigIntegerField(
        default=-1, help_text="The time step of the last code that was taken; none is taken twice."
    )
    backup_hashes = ArrayField(models.CharField(max_length=64), default=list)
    failures = models.PositiveIntegerField(default=0, help_text="Wrong codes in a row.")
    failed_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return "on" if self.confirmed_at else "not confirmed"


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
