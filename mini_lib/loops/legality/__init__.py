"""Which rewrites keep the meaning: domains, dependences, and the proof that no two dependent accesses are swapped."""
