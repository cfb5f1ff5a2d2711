from django.apps import AppConfig


class DatafetchConfig(AppConfig):
    name = "apps.datafetch"
    verbose_name = "data fetch"
