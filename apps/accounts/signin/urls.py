from django.contrib import admin
from django.urls import path

from apps.accounts.signin import views

urlpatterns = [
    path("login/", views.SignIn.as_view(), name="sign_in"),
    path("second-factor/", views.ask_code, name="second_factor"),
    path("second-factor/new/", views.make_factor, name="new_second_factor"),
    path("security/", admin.site.admin_view(views.my_security), name="my_security"),
]
