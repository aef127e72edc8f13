"""Augmentation as an experiment: what a search finds, what it spends, and where it fails."""
