"""The scopes that a key can hold."""

ROOMS = ("orders", "deals", "bids", "streams", "customers", "webhooks", "events", "accounts")

# `x:write` implies `x:read`.
SCOPES: tuple[str, ...] = tuple(f"{room}:{right}" for room in ROOMS for right in ("read", "write"))

DEFAULT_RATE_LIMIT = 1_000  # calls a minute
