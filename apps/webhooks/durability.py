"""What PostgreSQL may lose of the last moment when it or its machine dies, because it is done again (docs/adr/0044)."""

# In a FROM clause: the commit of this transaction does not wait for the disk.
UNAWAITED = "set_config('synchronous_commit', 'off', true)"
