"""Tradepost on one machine: its services and its processes under one supervisor.

It runs before Django is configured, so it imports neither `config` nor `apps`.
"""
