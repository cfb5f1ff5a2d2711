from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("orders", "0009_find_what_is_low")]

    operations = [
        AddIndexConcurrently(
            model_name="product",
            index=models.Index(
                fields=["sku"], opclasses=["varchar_pattern_ops"], name="product_sku"
            ),
        ),
    ]
