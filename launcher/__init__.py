"""What course.py is made of: the environment it prepares, the learner's copies it keeps. Standard library only."""


class Stop(Exception):
    """A message for the person at the keyboard: what is wrong, and what to do about it."""
