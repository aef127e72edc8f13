"""Augmentation as an experiment: its effect on labels and accuracy; what a search finds and costs, and where it fails.

There is only this docstring: the modules are used one by one.
"""
