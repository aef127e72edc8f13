"""Augmentation: operations on pictures, policies, label safety, and the search for a policy."""
