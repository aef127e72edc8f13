"""Filter decomposition: layers that are cheaper by construction, and trained layers taken apart into cheaper ones."""
