"""What Python's garbage collector has to look at (docs/adr/0032)."""

import gc

# New objects until the young ones are looked at; 700 by default, which one page of a list has.
YOUNG = 10_000


def spare_what_is_loaded() -> None:
    """Keep everything that is there out of all later collections, which come rarely: it stays until the process ends."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG)
