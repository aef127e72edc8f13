"""Lottery tickets as an experiment: many seeds, every control, round by round, resumable, with recorded results."""

from studies.tickets.results import Results, recorded
from studies.tickets.run import run_study
from studies.tickets.study import Run, State, Study, advance
