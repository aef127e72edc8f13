"""What a nest means: the order in which it runs, its numbers, and an interpreter."""
