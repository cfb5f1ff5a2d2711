from django.contrib.postgres.operations import AddIndexConcurrently, ValidateConstraint
from django.db import migrations, models


class Migration(migrations.Migration):
    """Looks at every row, so without a lock that orders would wait for."""

    atomic = False

    dependencies = [
        ("orders", "0002_parts_returns_payments"),
    ]

    operations = [
        ValidateConstraint(model_name="order", name="order_payments"),
        ValidateConstraint(model_name="orderline", name="orderline_shipped"),
        ValidateConstraint(model_name="stockmovement", name="movement_kind"),
        AddIndexConcurrently(
            model_name="order",
            index=models.Index(
                condition=models.Q(("deleted_at__isnull", False)),
                fields=["account", "customer_id", "-id"],
                name="order_customer_deleted",
            ),
        ),
    ]
