"""Requests to addresses that users gave us: `guard` says which are allowed, `aio` sends."""
