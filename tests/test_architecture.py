"""The house rules that a program can check: what library code may do, how it is written, what the README promises.

Each rule is a function from a source to what is wrong with it, and is tried on a planted breach before it is trusted
with the real files. Which way imports run is in test_contracts.py.
"""

import ast
import os
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator
from functools import cache
from itertools import pairwise, takewhile
from pathlib import Path

import pytest

from launcher import program as course
from teach.build import report
from teach.build.source import read_source

ROOT = Path(__file__).resolve().parent.parent
MINI_LIB = sorted((ROOT / "mini_lib").rglob("*.py"))
LIBRARY = sorted(path for folder in ("mini_lib", "studies", "teach") for path in (ROOT / folder).rglob("*.py"))
LONGEST_FILE = 300
LONGEST_MINI_LIB = 47_000


def ours(*endings: str) -> list[Path]:
    """The course's own files with one of these endings: not the environment's, the learner's or git's."""
    skipped = {".venv", ".git", "work", "node_modules", ".hypothesis", ".pytest_cache", "__pycache__", "build", "dist"}
    found = []
    for folder, inner, files in os.walk(ROOT):
        at_top = Path(folder) == ROOT
        inner[:] = [name for name in inner if name not in (skipped if at_top else skipped - {"work", "build", "dist"})]
        found += [Path(folder) / name for name in files if name.endswith(endings)]
    return sorted(found)


def short(path: Path) -> str:
    """A path as the course's folder sees it."""
    return path.relative_to(ROOT).as_posix()


@cache
def parsed(path: Path) -> ast.Module:
    """A file as Python's syntax tree."""
    return ast.parse(path.read_text(encoding="utf-8"))


def breaches(rule, paths: Iterable[Path]) -> list[str]:
    """What a rule finds in these files, each with the file's name."""
    return [f"{short(path)}: {finding}" for path in paths for finding in rule(parsed(path))]


# --- what library code may do --------------------------------------------------------------------------------------


def imports(tree: ast.Module) -> Iterator[tuple[ast.stmt, str]]:
    """Every import statement with each module that it names."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node, node.module or ""


def torch_imports(tree: ast.Module) -> Iterator[str]:
    """Imports of torch: the loops, and the cost part of llm, are arithmetic that must run without it."""
    for node, name in imports(tree):
        if name.split(".")[0].startswith("torch"):
            yield f"line {node.lineno}: imports torch"


def prints(tree: ast.Module) -> Iterator[str]:
    """Calls of print: the library returns what it has to say."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
            yield f"line {node.lineno}: print()"


def unsafe_loads(tree: ast.Module) -> Iterator[str]:
    """Loads that can run code hidden in a file: pickle and what stands on it.

    Of joblib, only what sends work to other processes may be imported: it reads no file.
    """
    parallel = {"Parallel", "delayed", "parallel_config"}
    for node, name in imports(tree):
        if name == "joblib" and isinstance(node, ast.ImportFrom) and {one.name for one in node.names} <= parallel:
            continue
        if name.split(".")[0] in ("pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"):
            yield f"line {node.lineno}: imports {name}"
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if called in ("torch.load", "torch.hub.load", "pd.read_pickle", "pandas.read_pickle"):
                yield f"line {node.lineno}: {called}()"
            if any(word.arg == "allow_pickle" and getattr(word.value, "value", True) for word in node.keywords):
                yield f"line {node.lineno}: allow_pickle"


def downloads(tree: ast.Module) -> Iterator[str]:
    """Anything that would fetch from the network: clients, `download=True`, and addresses outside of docstrings.

    The namespace of an SVG or MathML element looks like an address and is a name.
    """
    for node, name in imports(tree):
        if re.match(r"(urllib\.request|http\.client|requests|httpx|aiohttp|ftplib|huggingface_hub)\b", name):
            yield f"line {node.lineno}: imports {name}"
    texts = {id(node.body[0].value) for node, _ in docstrings(tree)}
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg == "download" and getattr(node.value, "value", True):
            yield f"line {node.value.lineno}: download"
        text = node.value if isinstance(node, ast.Constant) and id(node) not in texts else None
        if isinstance(text, str) and re.search(r"(https?|ftp)://(?!www\.w3\.org/)", text):
            yield f"line {node.lineno}: an address, {text[:60]!r}"


def type_checking(tree: ast.Module) -> Iterator[str]:
    """Imports that a type checker sees and a run does not: a circle can hide behind them."""
    for node in ast.walk(tree):
        if "TYPE_CHECKING" in (getattr(node, "id", None), getattr(node, "attr", None)):
            yield f"line {node.lineno}: TYPE_CHECKING"


def bool_checks(tree: ast.Module) -> Iterator[str]:
    """`isinstance(x, bool)` by hand: mini_lib/require.py asks it once, for all checks of whole numbers and shares."""
    for node in ast.walk(tree):
        asks = isinstance(node, ast.Call) and ast.unparse(node.func) == "isinstance" and len(node.args) == 2
        if asks and any(isinstance(kind, ast.Name) and kind.id == "bool" for kind in ast.walk(node.args[1])):
            yield f"line {node.lineno}: {ast.unparse(node)}"


# --- how it is written ---------------------------------------------------------------------------------------------

FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def docstrings(tree: ast.Module) -> Iterator[tuple[ast.AST, str]]:
    """The module and every class and function that has a docstring, with it."""
    for node in ast.walk(tree):
        if isinstance(node, (ast.Module, ast.ClassDef, *FUNCTIONS)) and (text := ast.get_docstring(node)):
            yield node, text


def without_docstring(tree: ast.Module) -> Iterator[str]:
    """Public functions and classes, and public methods of public classes, that say nothing about themselves.

    A property is named for what it is, and torch says what `forward` and `extra_repr` are.
    """
    if not ast.get_docstring(tree):
        yield "line 1: the module"
    for node in public(tree):
        inner = node.body if isinstance(node, ast.ClassDef) else []
        methods = [
            one
            for one in inner
            if isinstance(one, (*FUNCTIONS, ast.ClassDef))
            and not one.name.startswith("_")
            and one.name not in ("forward", "extra_repr")
            and not any("property" in ast.unparse(decorator) for decorator in one.decorator_list)
        ]
        for one in (node, *methods):
            if not ast.get_docstring(one):
                yield f"line {one.lineno}: {one.name} has no docstring"


def public(tree: ast.Module) -> list[ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]:
    """The functions and classes of a module whose names have no underscore in front."""
    kinds = (*FUNCTIONS, ast.ClassDef)
    return [node for node in tree.body if isinstance(node, kinds) and not node.name.startswith("_")]


def other_raises(tree: ast.Module) -> Iterator[str]:
    """Docstrings that say what is raised in another form than a block: `Raises:`, then `Name: why.` indented by four.

    What does not fit on an entry's line goes on below, indented by eight. An empty line or the end closes the block.
    """
    name = r"[A-Z][\w.]*"
    entry = rf"    {name}(, {name})*: \S.*(\n        \S.*)*\.\n"
    for node, text in docstrings(tree):
        lines = text.splitlines()
        said = [number for number, line in enumerate(lines) if re.search(r"\bRaises\b", line)]
        block = "".join(f"{line}\n" for line in takewhile(str.strip, lines[said[0] + 1 :] if said else ()))
        if said and (len(said) > 1 or lines[said[0]] != "Raises:" or not re.fullmatch(rf"({entry})+", block)):
            yield f"line {getattr(node, 'lineno', 1)}: the docstring of {getattr(node, 'name', 'the module')}"


def not_a_facade(tree: ast.Module) -> Iterator[str]:
    """Whatever an `__init__.py` holds besides its docstring and `from ... import ...`.

    A lesson's `EXERCISES` is what its folder is for: the exercises in the order of the page.
    """
    for number, node in enumerate(tree.body):
        exercises = isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "EXERCISES"
        if not (isinstance(node, ast.ImportFrom) or exercises or (number == 0 and ast.get_docstring(tree))):
            yield f"line {node.lineno}: {ast.unparse(node)[:60]}"


def dropped_numbers(tree: ast.Module) -> Iterator[str]:
    """Checks of a number that are thrown away: they return Python's own for one of numpy, which would wrap or round."""
    checks = {"whole", "finite", "positive", "not_negative", "share"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and ast.unparse(node.value.func) in checks:
            yield f"line {node.lineno}: drops what {ast.unparse(node.value.func)} returns"


RULES = [
    dropped_numbers,
    prints,
    without_docstring,
    unsafe_loads,
    downloads,
    torch_imports,
    type_checking,
    bool_checks,
    other_raises,
    not_a_facade,
]


@pytest.mark.parametrize(
    "rule, source, line",
    [
        (dropped_numbers, '"""M."""\nwhole("n", n, fix="1")', 2),
        (prints, '"""M."""\nprint(1)', 2),
        (without_docstring, "x = 1", 1),
        (without_docstring, '"""M."""\ndef f(): pass', 2),
        (without_docstring, '"""M."""\nclass C:\n    """C."""\n    def f(self): pass', 4),
        (unsafe_loads, '"""M."""\nimport pickle', 2),
        (unsafe_loads, '"""M."""\nfrom joblib import load', 2),
        (unsafe_loads, '"""M."""\nw = torch.load(p, weights_only=True)', 2),
        (unsafe_loads, '"""M."""\nw = np.load(p, allow_pickle=True)', 2),
        (downloads, '"""M."""\nfrom urllib.request import urlopen', 2),
        (downloads, '"""M."""\nFashionMNIST(root, download=True)', 2),
        (downloads, '"""M."""\nURL = f"https://example.org/{name}"', 2),
        (torch_imports, '"""M."""\nfrom torch.nn import Linear', 2),
        (type_checking, '"""M."""\nif TYPE_CHECKING:\n    from teach import judge', 2),
        (type_checking, '"""M."""\nimport typing\nif typing.TYPE_CHECKING:\n    from teach import judge', 3),
        (bool_checks, '"""M."""\nif isinstance(x, bool): pass', 2),
        (bool_checks, '"""M."""\nif isinstance(x, (str, bool)): pass', 2),
        (bool_checks, '"""M."""\nif isinstance(x, str | bool): pass', 2),
        (other_raises, '"""M. Raises ValueError where it is wrong."""', 1),
        (other_raises, '"""M."""\ndef f():\n    """F.\n\n    Raises: ValueError where it is wrong.\n    """', 2),
        (other_raises, '"""M."""\ndef f():\n    """F.\n\n    Raises:\n        a ValueError: it is wrong.\n    """', 2),
        (other_raises, '"""M."""\ndef f():\n    """F.\n\n    Raises:\n        ValueError: it is wrong\n    """', 2),
        (other_raises, '"""M."""\ndef f():\n    """F.\n\n    Raises:\n      ValueError: it is wrong.\n    """', 2),
        (other_raises, '"""M."""\ndef f():\n    """F.\n\n    Raises:\n        ValueError: no.\n    more.\n    """', 2),
        (not_a_facade, '"""M."""\n__all__ = ["f"]', 2),
        (not_a_facade, '"""M."""\nimport os', 2),
        (not_a_facade, '"""M."""\ndef f():\n    """F."""', 2),
    ],
)
def test_a_rule_finds_its_breach(rule, source, line):
    [finding] = rule(ast.parse(source))
    assert finding.startswith(f"line {line}: ")


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_leaves_good_code_alone(rule):
    good = '''"""A module. See https://example.org."""
import json
from joblib import Parallel, delayed
from urllib.parse import quote
def f(x):
    """Say f, which raises what g raises. See https://example.org.

    Raises:
        ValueError: x is negative, or it is so large that there is no room for the rest of
            the line.
        KeyError, TypeError: x is no key.
    """
    return FashionMNIST(x, download=False), np.load(x, allow_pickle=False), "http://www.w3.org/2000/svg"
def _g(): pass
class C:
    """Say C."""
    def __repr__(self): return "C"
    def forward(self, x): return isinstance(x, int)
    @property
    def name(self): return "C"
'''
    facade = '"""A module."""\nfrom teach.exercises.lesson_01.counting import A, B\n\nEXERCISES = (A, B)\n'
    assert list(rule(ast.parse(facade if rule is not_a_facade else good))) == []


def is_a_command(path: Path) -> bool:
    """Whether a module is a program that people start: it talks to a terminal, so it may print."""
    return path.name in ("__main__.py", "command.py") or '__name__ == "__main__"' in path.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "rule", [dropped_numbers, prints, without_docstring, unsafe_loads, downloads, type_checking, other_raises]
)
def test_the_library_keeps_the_rule(rule):
    paths = [path for path in LIBRARY if not (rule is prints and is_a_command(path))]
    assert len(paths) > 200
    assert breaches(rule, paths) == []


def test_what_course_py_and_the_tools_are_made_of_keeps_the_rules_of_docstrings():
    paths = [
        ROOT / "course.py",
        *(path for name in ("launcher", "slides", "tools") for path in (ROOT / name).rglob("*.py")),
    ]
    assert breaches(other_raises, paths) == []


def test_every_init_is_a_docstring_and_what_its_folder_shows():
    paths = ours("__init__.py")
    assert len(paths) > 20
    assert breaches(not_a_facade, paths) == []


def test_the_arithmetic_of_loops_and_of_llm_costs_needs_no_torch():
    folders = ["loops", "llm/cost", "llm/serving", "llm/prices", "llm/published"]
    paths = [path for folder in folders for path in (ROOT / "mini_lib" / folder).rglob("*.py")]
    assert len(paths) > 20
    assert breaches(torch_imports, paths) == []


ASKS_FOR_A_BOOL = {  # what require.py does not know, and why
    "mini_lib/quantize/observers.py": "a percentage, above 50 and up to 100, may have decimals"
}


def test_whether_a_number_is_a_bool_is_asked_in_one_place():
    asking = {short(path) for path in MINI_LIB if list(bool_checks(parsed(path)))}
    assert asking == {"mini_lib/require.py", *ASKS_FOR_A_BOOL}


SEVERAL_MEANINGS = {  # public names that stand for several things in mini_lib, and why
    "load": "read with its module: zoo.load gives a trained model, native.load a compiled library",
    "Step": "read with its topic: a step of an augmentation policy, and one of a memory plan in loops",
}


def defined_twice(trees: dict[str, ast.Module]) -> dict[str, list[str]]:
    """The public functions and classes that several modules define, with those modules."""
    places = defaultdict(list)
    for name, tree in trees.items():
        for node in public(tree):
            places[node.name].append(name)
    return {name: found for name, found in places.items() if len(set(found)) > 1}


def test_a_name_with_two_meanings_is_found():
    trees = {name: ast.parse("def trace(x): pass\ndef _check(x): pass") for name in ("graph.py", "loops/trace.py")}
    assert defined_twice(trees) == {"trace": ["graph.py", "loops/trace.py"]}


def test_a_public_name_means_one_thing():
    found = defined_twice({short(path): parsed(path) for path in MINI_LIB})
    assert {name: places for name, places in found.items() if name not in SEVERAL_MEANINGS} == {}
    assert set(SEVERAL_MEANINGS) <= set(found)  # the list holds nothing that is settled


def test_a_file_of_the_library_fits_in_the_head():
    lengths = {short(path): len(path.read_text(encoding="utf-8").splitlines()) for path in LIBRARY}
    assert {name: length for name, length in lengths.items() if length > LONGEST_FILE} == {}


def twice(paths: Iterable[Path]) -> list[str]:
    """File names that occur in more than one folder: pytest imports test files by name, and only the first of them."""
    names = sorted(path.name for path in paths)
    return sorted({name for name, following in pairwise(names) if name == following})


def test_a_test_file_has_a_name_of_its_own():
    assert twice([Path("a/test_x.py"), Path("b/test_x.py"), Path("b/test_y.py")]) == ["test_x.py"]
    assert twice((ROOT / "tests").rglob("test_*.py")) == []


def test_mini_lib_stays_small():
    lines = sum(len(path.read_text(encoding="utf-8").splitlines()) for path in MINI_LIB)
    print(f"mini_lib has {lines:,} lines of Python")
    assert lines < LONGEST_MINI_LIB


@pytest.mark.parametrize("words", [("check",), ("format", "--check")], ids=lambda words: words[0])
def test_ruff_has_nothing_to_say(words):
    done = subprocess.run(
        [sys.executable, "-m", "ruff", *words, "--no-cache", "--quiet", "."], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def hand_made_layout(text: str) -> Iterator[str]:
    """What is kept from the formatter and is no table.

    A table is a literal that ends at the left margin, or rows of assignments between `# fmt: off` and `# fmt: on`.
    """
    off, blocks = 0, []
    for number, line in enumerate(text.splitlines(), start=1):
        if line == "# fmt: off" and not off:
            off = number
        elif line == "# fmt: on" and off:
            blocks.append(range(off, number))
            off = 0
        elif re.search(r"# fmt: ?(skip|off|on)\b", line) and not re.match(r"[)\]}].*  # fmt: skip$", line):
            yield f"line {number}: {line.strip()}"
    if off:
        yield f"line {off}: the formatter is not turned on again"
    for node in ast.parse(text).body:
        if not isinstance(node, ast.Assign) and any(node.lineno in block for block in blocks):
            yield f"line {node.lineno}: no row of a table, but the formatter is off"


@pytest.mark.parametrize(
    "text",
    [
        "x = [1,2]  # fmt: skip",
        "if x:\n  x = [\n    1\n  ]  # fmt: skip",
        "x = {\n}  # fmt: skip, please",
        "# fmt: off\nx = 1",
        "x = 1\n# fmt: on",
        "# fmt: off\nx = 1\ndef f(): pass\n# fmt: on",
    ],
)
def test_a_layout_that_is_no_tables_is_found(text):
    table = "ROWS = [\n    1, 2,\n]  # fmt: skip\n# fmt: off\nA = Row(1,\n        2)\n# fmt: on\n"
    assert list(hand_made_layout(table)) == []
    assert len(list(hand_made_layout(table + text))) == 1


def test_only_tables_are_laid_out_by_hand():
    texts = {short(path): path.read_text(encoding="utf-8") for path in ours(".py") if path != Path(__file__)}
    assert [f"{name}: {one}" for name, text in texts.items() for one in hand_made_layout(text)] == []


# --- what is true of every file ------------------------------------------------------------------------------------

FETCHES = re.compile(
    r"""(?:\b(?:src|poster|srcset)\s*=\s*|<link\b[^>]*\bhref\s*=\s*|\burl\(\s*|@import\s+|\b(?:import|fetch)\(\s*)["']?(?:https?:)?//""",
    re.IGNORECASE,
)


@pytest.mark.parametrize(
    "source",
    [
        '<img src="https://example.org/a.png">',
        "<script src='//example.org/a.js'>",
        "<link rel=stylesheet href=https://example.org/a.css>",
        "div { background: url(https://example.org/a.png) }",
        '@import "https://example.org/a.css";',
        'await import("https://example.org/a.js")',
    ],
)
def test_a_page_that_fetches_is_found(source):
    assert FETCHES.search(source)
    assert not FETCHES.search(source.replace("https:", "").replace("//example.org/", "figures/"))


def test_no_page_fetches_from_the_network():
    pages = ours(".html", ".css", ".js", ".mjs", ".svg", ".ipynb")
    assert [short(path) for path in pages if FETCHES.search(path.read_text(encoding="utf-8"))] == []


def test_nothing_is_left_to_do():
    marks = re.compile("|".join(rf"\b{mark}\b" for mark in ("TO" + "DO", "FIX" + "ME", "X" * 3)))
    texts = ours(".py", ".md", ".toml", ".yml", ".css", ".js", ".mjs")
    assert [short(path) for path in texts if marks.search(path.read_text(encoding="utf-8"))] == []


def test_every_text_ends_its_lines_in_the_same_way_on_every_system():
    assert [
        short(path)
        for path in ours(".py", ".md", ".ipynb", ".toml", ".yml", ".html", ".css")
        if b"\r" in path.read_bytes()
    ] == []


# --- what the README promises --------------------------------------------------------------------------------------

README = (ROOT / "README.md").read_text(encoding="utf-8")
TEACHING = (ROOT / "TEACHING.md").read_text(encoding="utf-8")
LESSONS = sorted((ROOT / "solutions").glob("[0-9][0-9]_*.py"))


def test_every_command_in_the_readme_is_one_of_course_py():
    for name in ("README.md", "TEACHING.md", "CONTRIBUTING.md"):
        commands = re.findall(r"python3 course\.py (\w+)", (ROOT / name).read_text(encoding="utf-8"))
        assert set(commands) <= set(course.COMMANDS), name


def test_the_readmes_first_screen_has_the_two_commands():
    first_block = re.search(r"```\w*\n(.*?)```", README, re.DOTALL)
    commands = [line.split("#")[0].strip() for line in first_block[1].splitlines()]
    assert commands[-2:] == ["python3 course.py lab", "python3 course.py test"]
    assert README[: first_block.end()].count("\n") <= 25


def test_the_readme_lists_the_lessons_that_exist_with_their_questions_and_minutes():
    listed = re.findall(r"^\| (\d\d) \| \[(.+?)\]\(lessons/(\w+)\.ipynb\) \| (\d+) \|", README, re.MULTILINE)
    actual = []
    for path in LESSONS:
        source = path.read_text(encoding="utf-8")
        question = re.search(r"^# # (?:\d\d\W+)?(.+)$", source, re.MULTILINE)[1]
        actual.append((path.stem[:2], question, path.stem, _minutes(path)))
    assert actual and listed == actual, "the minutes: python -m teach.build --minutes"


def test_the_slides_say_the_minutes_of_their_lessons():
    for path in LESSONS:
        deck = (ROOT / "slides" / f"{path.stem}.md").read_text(encoding="utf-8")
        said = re.search(r"About \d+ minutes with these slides, or (\d+) for a student alone", deck)
        assert said and said[1] == _minutes(path), f"{path.stem}: python -m teach.build --minutes"


def _minutes(path: Path) -> str:
    """The minutes that the title cell of a lesson says once it is built."""
    text = path.read_text(encoding="utf-8")
    typed = re.search(r"about (\d+) minutes", text[: text.index("# %%", 1)])
    return typed[1] if typed else str(report.minutes_of(read_source(path)).total)


def test_where_people_go_wrong_is_said_in_the_words_of_the_checks():
    from teach.exercises import find_exercise

    rows = re.findall(r"^\| (\d+\.\d+) \| (.+) \|$", TEACHING, re.MULTILINE)
    assert {number.split(".")[0] for number, _ in rows} == {str(int(path.stem[:2])) for path in LESSONS}
    for number, sentence in rows:
        exercise = find_exercise(number)
        assert sentence in {one.says for one in (*exercise.mistakes, *exercise.symptoms)}, number


def test_every_lesson_is_built_and_has_slides():
    for path in LESSONS:
        for built in (f"lessons/{path.stem}.ipynb", f"solutions/{path.stem}.ipynb", f"slides/{path.stem}.html"):
            assert (ROOT / built).is_file(), built


@pytest.mark.parametrize("name", ["README.md", "TEACHING.md", "CONTRIBUTING.md", "THIRD_PARTY.md", "LICENSE"])
def test_links_to_files_resolve(name):
    text = (ROOT / name).read_text(encoding="utf-8")
    targets = [target.split("#")[0] for target in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in target]
    assert [target for target in targets if target and not (ROOT / target).exists()] == []
    anchors = {
        re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    }
    assert {target[1:] for target in re.findall(r"\]\((#[^)\s]+)\)", text)} <= anchors


def test_the_readmes_map_of_the_library_names_what_is_there():
    named = set(re.findall(r"`mini_lib/([\w/.]+)`", README))
    assert [name for name in named if not (ROOT / "mini_lib" / name).exists()] == []
    modules = {path.relative_to(ROOT / "mini_lib").parts[0] for path in MINI_LIB if not path.name.startswith("_")}
    unnamed = {name for name in modules if not any(one.split("/")[0] == name for one in named)}
    assert unnamed == set()


def test_everything_shipped_from_elsewhere_is_listed_with_its_licence():
    shipped = [
        f"mini_lib/assets/{path.name}"
        for path in (ROOT / "mini_lib" / "assets").iterdir()
        if path.is_file() and path.suffix not in (".md", ".py")
    ]
    shipped += ["slides/*.html"] * any(
        "bespoke" in path.read_text(encoding="utf-8") for path in (ROOT / "slides").glob("*.html")
    )
    listed = (ROOT / "THIRD_PARTY.md").read_text(encoding="utf-8")
    assert shipped and [name for name in shipped if f"`{name}`" not in listed] == []
