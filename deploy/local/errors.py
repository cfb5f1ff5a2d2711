"""What can go wrong before or while Tradepost runs, said to the person at the terminal."""


class LocalError(Exception):
    """A start that cannot go on. Its text is printed as it is, without a traceback."""
