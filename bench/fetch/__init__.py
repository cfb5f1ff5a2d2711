"""How fast a stream is read and served, beside its limits and beside dlt: `python -m bench.fetch`."""
