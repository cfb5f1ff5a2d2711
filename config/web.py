"""`python -m config.web ARGUMENT …`: granian, with its arguments, which loads everything before it forks.

Its processes share what is loaded, and it is loaded once for all of them (docs/adr/0034).
"""

from granian.cli import entrypoint

from config.wsgi import application

__all__ = ["application"]

if __name__ == "__main__":
    entrypoint()  # type: ignore[no-untyped-call]  # has no types
