"""What Python's garbage collector has to look at (docs/adr/0032)."""

import gc


def spare_what_is_loaded() -> None:
    """Keep everything that is there out of all later collections: it stays until the process ends."""
    gc.collect()
    gc.freeze()
