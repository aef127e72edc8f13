"""How few bits the course's CNN needs, trained or not, with a teacher or without; and how much a teacher helps.

There is only this docstring: the modules are used one by one.
"""
