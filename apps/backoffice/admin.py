"""The back office as a whole: its name on every page."""

from django.contrib import admin

admin.site.site_header = "Tradepost back office"
admin.site.site_title = "Tradepost"
admin.site.index_title = "Everything that is kept"
