"""What caches see of a nest: its accesses, exact simulation, reuse distances, kinds of misses."""
