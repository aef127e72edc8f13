"""How few bits the course's CNN can live on, trained or not, with a teacher or without; and what a teacher gives.

A docstring alone: the modules are used one by one.
"""
