"""What augmentation does to labels and to accuracy, and what the search for a policy is worth beside its controls.

A docstring alone: the modules are used one by one.
"""
