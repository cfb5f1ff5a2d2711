"""Measurements. A timing is never a test's assertion; it stands here, beside a limit of the same run."""
