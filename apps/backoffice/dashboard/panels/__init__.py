"""The panels, a module each: what is read of one business, and what of it somebody should look at."""
