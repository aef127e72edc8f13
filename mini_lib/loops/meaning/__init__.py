"""What a nest means: the order in which it runs, its numbers, an interpreter, and how far rounding may go."""
