"""What course.py is made of: the environment it prepares, the learner's copies it keeps. Standard library only."""

from launcher.stop import Stop
