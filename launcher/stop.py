"""How a command of course.py ends early."""


class Stop(Exception):
    """A message for the person at the keyboard: what is wrong, and what to do about it."""
