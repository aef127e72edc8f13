"""Checks shared by the files of prices: texts, days, and rows of one kind."""

import datetime as dt
from collections.abc import Iterable
from typing import TypeVar

from mini_lib.require import of_type, shown

_T = TypeVar("_T")


def text(name: str, value: object, *, fix: str) -> str:
    """Return `value` if it is a text that is not empty.

    Raises:
        TypeError: it is not a string.
        ValueError: it is empty.

    >>> text("model", "", fix="name a model such as 'gpt-4o'")
    Traceback (most recent call last):
    ValueError: model must not be empty; name a model such as 'gpt-4o'
    """
    if not of_type(name, value, str, fix=fix).strip():
        raise ValueError(f"{name} must not be empty; {fix}")
    return value


def date(name: str, value: object, *, fix: str) -> dt.date:
    """Return `value` if it is a `datetime.date` and not a `datetime`, which cannot be compared with a date.

    Raises:
        TypeError: it is something else.

    >>> date("since", "2024-10-02", fix="use day('2024-10-02')")
    Traceback (most recent call last):
    TypeError: since must be a datetime.date, got '2024-10-02'; use day('2024-10-02')
    """
    if type(value) is not dt.date:
        raise TypeError(f"{name} must be a datetime.date, got {shown(value)}; {fix}")
    return value


def all_of(name: str, values: object, kind: type[_T], *, fix: str) -> tuple[_T, ...]:
    """Return `values` as a tuple if each is of `kind`.

    Raises:
        TypeError: they are not a series, or one of them is something else.

    >>> all_of("prices", ["gpt-4o"], dt.date, fix="use history()")
    Traceback (most recent call last):
    TypeError: prices[0] must be of type date, got 'gpt-4o'; use history()
    """
    if not isinstance(values, Iterable):
        raise TypeError(f"{name} must be a series of {kind.__name__}, got {shown(values)}; {fix}")
    return tuple(of_type(f"{name}[{place}]", value, kind, fix=fix) for place, value in enumerate(values))
