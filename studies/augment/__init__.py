"""Augmentation as an experiment: what it does to labels and accuracy, what a search finds, spends, and where it fails.

A docstring alone: the modules are used one by one.
"""
