"""A lesson of three small exercises and a class that hands it in, for the tests of the grader."""
