"""A nest as C: readable text, vectors, threads; compiled, called and timed."""
