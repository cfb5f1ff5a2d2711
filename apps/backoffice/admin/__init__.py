"""Pages of what no single app owns."""

from django.contrib import admin

from apps.backoffice import panels
from apps.backoffice.admin import bulk, jobs, mail

__all__ = ["bulk", "jobs", "mail"]

admin.site.index_title = "Everything that is kept"
panels.install()
