"""The course's teaching machinery: exercises and checks, predictions, explorable figures, progress."""

from mini_lib.teach.cache_animation import animate
from mini_lib.teach.check import check
from mini_lib.teach.explore import explore
from mini_lib.teach.figures import show, use_style
from mini_lib.teach.ledger import ledger
from mini_lib.teach.nest_log import log_of
from mini_lib.teach.predict import predict, reveal
from mini_lib.teach.progress import progress

__all__ = ["animate", "check", "explore", "ledger", "log_of", "predict", "progress", "reveal", "show", "use_style"]
