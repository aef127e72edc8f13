"""A nest as the caches see it: its accesses, exact simulation, reuse distances, kinds of misses."""
