"""report.html: what a teacher needs to know about a class, then what each student is told.

One file without scripts or anything that is loaded from elsewhere. Everything that a learner wrote is escaped.
"""

import collections
import html
from collections.abc import Collection, Iterable, Sequence

from teach.grading.gradebook import Gradebook, Row
from teach.grading.lesson import Lesson
from teach.grading.limits import GIB
from teach.grading.marks import Mark
from teach.grading.text import shown
from teach.panel import code

# What stands for a state, so that colour is never alone: state -> (sign, class in the style sheet)
SIGNS = {
    "passed": ("✓", "passed"),
    "not yet": ("✗", "wrong"),
    "not attempted": ("–", "open"),
    "stopped": ("!", "stopped"),
}
STYLE = """
:root{color-scheme:light dark;--ink:#1a1a1a;--page:#fff;--quiet:#555;--line:#bbb;--link:#005a8e;--rest:#ccc;
--green:#00694b;--on-green:#e8f5ef;--brown:#9a3d00;--on-brown:#fdf1e7;--on-grey:#f4f4f4;--red:#8a1458;--on-red:#f6e6f0}
@media(prefers-color-scheme:dark){:root{--ink:#e6e6e6;--page:#161616;--quiet:#bdbdbd;--line:#555;--link:#8cc7ee;
--rest:#444;--green:#7fd3b0;--on-green:#14281f;--brown:#f2ab76;--on-brown:#2e1f12;--on-grey:#262626;--red:#f0a3cb;
--on-red:#331626}}
body{font:16px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--page);max-width:64em;margin:2em auto;
padding:0 1em}a{color:var(--link)}.wide{overflow-x:auto}:focus-visible{outline:3px solid var(--link)}
table{border-collapse:collapse;margin:.5em 0 1.5em}
th,td{border:1px solid var(--line);padding:.25em .6em;text-align:left}
td.number{text-align:right}td.sign{text-align:center;font-weight:bold}
.passed{background:var(--on-green);color:var(--green)}.wrong{background:var(--on-brown);color:var(--brown)}
.open{background:var(--on-grey);color:var(--quiet)}.stopped{background:var(--on-red);color:var(--red)}
.bar{display:inline-block;height:.8em;width:8em;background:var(--rest)}
.bar b{display:block;height:100%;background:var(--green)}
section{border-top:1px solid var(--line);margin-top:1.5em}li{margin:.3em 0}small,.quiet{color:var(--quiet)}
.said{position:absolute;width:1px;height:1px;overflow:hidden;clip-path:inset(50%)}
"""
HEAD = (
    "<meta charset='utf-8'><title>Grades</title><meta name='viewport' content='width=device-width'>"
    "<meta http-equiv='Content-Security-Policy' content=\"default-src 'none'; style-src 'unsafe-inline'\">"
    f"<style>{STYLE}</style>"
)
# What a system may be unable to hold: what it says of itself, where it cannot.
CANNOT = {
    "memory": "This system does not limit a submission's memory.",
    "files": "This system's kernel does not keep a submission from reading and changing files outside its own folder.",
    "processes and network": (
        "This system's kernel does not keep a submission from the network, other processes or signals to them."
    ),
}
ALONE = (
    "Python's audit hook does so instead, but a determined learner can get around it: "
    "grade a class that you do not trust in a container or a virtual machine."
)


def cannot_hold(protections: Collection[str]) -> list[str]:
    """What this system cannot hold, in sentences about a submission; none where it holds all."""
    sentences = [sentence for held, sentence in CANNOT.items() if held not in protections]
    return [*sentences, ALONE] if {"files", "processes and network"} - set(protections) else sentences


def report(book: Gradebook) -> str:
    """The whole report as one HTML page."""
    graded = [row for row in book.rows if row.lesson]
    parts = ["<h1>Grades</h1>", _summary(book.rows, graded), _legend()]
    for lesson in book.lessons:
        rows = [row for row in graded if row.lesson == lesson]
        if rows:
            parts += [f"<h2>{_text(lesson.notebook.stem)}</h2>", _who(lesson, rows)]
            parts += [_exercises(lesson, rows), _misconceptions(lesson, rows)]
    parts += [_not_graded(book.rows), "<h2>What each student is told</h2>", *map(_student, graded), _limits(book)]
    return f"<!doctype html><html lang='en'><head>{HEAD}</head><body><main>{''.join(parts)}</main></body></html>\n"


def _summary(rows: Sequence[Row], graded: Sequence[Row]) -> str:
    missing = len(rows) - len(graded)
    text = f"{_count(len(rows), 'submission')}; {len(graded)} graded"
    return f"<p>{text}, {missing} not: see below.</p>" if missing else f"<p>{text}.</p>"


def _legend() -> str:
    said = ", ".join(f"{_sign(state)} {state}" for state in SIGNS)
    return f"<p class='quiet'>{said}. Stopped: it did not come to an end, so that there was nothing to judge.</p>"


def _who(lesson: Lesson, rows: Sequence[Row]) -> str:
    lines = []
    for row in rows:
        student = f"<th scope='row'><a href='#{_anchor(row)}'>{_text(row.student)}</a></th>"
        lines.append(student + "".join(map(_cell, row.marks)) + _number(f"{row.points} / {lesson.points}"))
    return _table(["Student", *(exercise.id for exercise in lesson.exercises), "Points"], lines)


def _cell(mark: Mark) -> str:
    sign, look = SIGNS[mark.state]
    # the sign for the eye, the word for a screen reader
    both = f"<span aria-hidden='true'>{sign}</span><span class='said'>{mark.state}</span>"
    return f"<td class='sign {look}' title='{mark.state}'>{both}</td>"


def _exercises(lesson: Lesson, rows: Sequence[Row]) -> str:
    lines = []
    for exercise in lesson.exercises:
        states = collections.Counter(mark.state for row in rows for mark in row.marks if mark.id == exercise.id)
        percent = round(100 * states["passed"] / len(rows))
        bar = f"<span class='bar'><b style='width:{percent}%'></b></span> {percent}%"
        name = f"<th scope='row'>{_text(exercise.id)} {_text(exercise.title)}</th>"
        lines.append(f"{name}<td>{bar}</td>" + "".join(_number(states[state]) for state in SIGNS))
    return "<h3>Exercises</h3>" + _table(["Exercise", "Passed by", *SIGNS], lines)


def _misconceptions(lesson: Lesson, rows: Sequence[Row]) -> str:
    """The listed mistakes that students made, most common first; in a tie, in the order of the exercises."""
    listed = [
        (exercise.id, mistake.says)
        for exercise in lesson.exercises
        for mistake in (*exercise.mistakes, *exercise.symptoms)
    ]
    who = {key: [row.student for row in rows if key in ((m.id, m.misconception) for m in row.marks)] for key in listed}
    lines = []
    for (id, says), students in sorted(who.items(), key=lambda item: -len(item[1])):
        if students:
            told = f"<td>{code(says)}<br><small>{_text(', '.join(students))}</small></td>"
            lines.append(_number(len(students)) + f"<th scope='row'>{_text(id)}</th>" + told)
    if not lines:
        return "<h3>Misconceptions</h3><p>No answer shows a known misconception.</p>"
    return "<h3>Misconceptions</h3>" + _table(["Students", "Exercise", "Message"], lines)


def _not_graded(rows: Sequence[Row]) -> str:
    lines = []
    for row in rows:
        if not row.lesson:
            lines.append(f"<strong>{_text(row.student)}</strong> ({_text(row.file)}): {_text('; '.join(row.notes))}")
    return "<h2>Not graded</h2>" + _list(lines) if lines else ""


def _student(row: Row) -> str:
    titles = {exercise.id: exercise.title for exercise in row.lesson.exercises}
    lines = []
    for mark in row.marks:
        name = f"<strong>{_text(mark.id)} {_text(titles[mark.id])}</strong>"
        points = f"{mark.points} of {_count(mark.out_of, 'point')}"
        lines.append(f"{_sign(mark.state)} {name}, {mark.state}, {points}<br>{code(mark.message)}")
    of = _count(row.lesson.points, "point")
    title = f"<h3>{_text(row.student)} <small>{_text(row.file)}, {row.points} of {of}</small></h3>"
    notes = _list(map(_text, row.notes)) if row.notes else ""
    return f"<section id='{_anchor(row)}'>{title}{_list(lines)}{notes}</section>"


def _limits(book: Gradebook) -> str:
    limits = book.limits
    time = f"for at most {limits.time_s:g} s, and {limits.step_time_s:g} s per cell or exercise"
    said = [f"Each submission ran in its own process, {time}, on its share of the processor's cores."]
    if "memory" in book.protections:
        said.append(f"It could take at most {limits.memory_bytes / GIB:g} GiB of memory.")
    if "processes and network" in book.protections:
        said.append("The kernel kept it from the network, from other processes and from signals to them.")
    if "files" in book.protections:
        said.append("The kernel kept it from writing outside its own folder, and from reading other submissions.")
    text = " ".join([*said, *cannot_hold(book.protections)])
    return f"<section><h2>How this was graded</h2><p class='quiet'>{text}</p></section>"


def _table(head: Sequence[str], lines: Iterable[str]) -> str:
    names = "".join(f"<th scope='col'>{_text(name)}</th>" for name in head)
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    table = f"<table><thead><tr>{names}</tr></thead><tbody>{body}</tbody></table>"
    # A table that is wider than the screen scrolls, with keys too.
    return f"<div class='wide' role='region' tabindex='0' aria-label='{_text(head[0])}s'>{table}</div>"


def _list(lines: Iterable[str]) -> str:
    return "<ul>" + "".join(f"<li>{line}</li>" for line in lines) + "</ul>"


def _number(value: int | str) -> str:
    return f"<td class='number'>{value}</td>"


def _sign(state: str) -> str:
    sign, look = SIGNS[state]
    return f"<span class='{look}' aria-hidden='true'>&nbsp;{sign}&nbsp;</span>"  # its word is next to it


def _anchor(row: Row) -> str:
    return "of-" + row.file.encode("utf-8", "replace").hex()


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _text(text: str) -> str:
    return html.escape(shown(text), quote=True)
