import django.contrib.postgres.fields
import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

import apps.common.encryption


class Migration(migrations.Migration):
    dependencies = [("accounts", "0001_initial")]

    operations = [
        migrations.CreateModel(
            name="SecondFactor",
            fields=[
                (
                    "user",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="second_factor",
                        serialize=False,
                        to=settings.AUTH_USER_MODEL,
                    ),
                ),
                (
                    "secret",
                    apps.common.encryption.EncryptedTextField(
                        help_text="Shared with the app; in base32."
                    ),
                ),
                (
                    "confirmed_at",
                    models.DateTimeField(
                        help_text="Null until the app has shown a code.", null=True
                    ),
                ),
                (
                    "last_step",
                    models.BigIntegerField(
                        default=-1,
                        help_text="The time step of the last code that was taken; none is taken twice.",
                    ),
                ),
                (
                    "backup_hashes",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=64), default=list, size=None
                    ),
                ),
                (
                    "failures",
                    models.PositiveIntegerField(default=0, help_text="Wrong codes in a row."),
                ),
                ("failed_at", models.DateTimeField(null=True)),
            ],
        ),
    ]
