"""The reference library of the course Cheaper, Faster, Smaller."""
