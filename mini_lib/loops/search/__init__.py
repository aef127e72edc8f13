"""Finding a schedule: the space of rewrites, random and evolutionary search."""
