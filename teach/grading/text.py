"""What learners wrote, as it may be shown in a table or on a page: visible, on one line, and not long."""

import re

MOST_TEXT = 1500  # characters
# At the start, and after what separates cells where a comma does not: in half of Europe a spreadsheet splits at ";".
FORMULA = re.compile(r"""((?:^|[;|])["\s]*)([=+\-@＝＋－＠])""")


def shown(text: str, most: int = MOST_TEXT) -> str:
    """Text on one line without control characters, nor any that is invisible or turns the line around; cut to `most`.

    >>> shown("evil\\u202e\\x1b[31m\\n twin"), shown("abcdefgh", most=6)
    ('evil [31m twin', 'abc...')
    """
    text = text[: 8 * most]  # megabytes do not have to be looked at
    text = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    return text if len(text) <= most else text[: most - 3] + "..."


def harmless(text: str, most: int = MOST_TEXT) -> str:
    """As `shown`, and no spreadsheet takes it, or a part of it, for a formula.

    >>> harmless("=cmd|' /C calc'!A0"), harmless("alice"), harmless("so; =1+1")
    ("'=cmd|' /C calc'!A0", 'alice', "so; '=1+1")

    Source: OWASP, "CSV Injection".
    """
    return FORMULA.sub(r"\1'\2", shown(text, most))
