from django.db import migrations


class Migration(migrations.Migration):
    """What people did to an object is looked up by its id, over the whole log."""

    dependencies = [
        ("accounts", "0003_session_epoch"),
        ("admin", "0003_logentry_add_action_flag_choices"),
    ]

    operations = [
        migrations.RunSQL(
            "CREATE INDEX admin_log_object ON django_admin_log (object_id)",
            "DROP INDEX admin_log_object",
        )
    ]
