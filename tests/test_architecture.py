"""The house rules that a program can check: how imports run, what library code may do, what the README promises.

Each rule is a function from a source to what is wrong with it, and is tried on a planted breach before it is trusted
with the real files.
"""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import course

ROOT = Path(__file__).resolve().parent.parent
LIBRARY = sorted((ROOT / "mini_lib").rglob("*.py"))
LONGEST_FILE = 300


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


# --- which way imports run -----------------------------------------------------------------------------------------


def lint_imports(folder: Path) -> subprocess.CompletedProcess:
    """Hold the mini_lib in a folder against the contracts of pyproject.toml."""
    program = (
        "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(sys.argv[1], no_cache=True))"
    )
    return subprocess.run(
        [sys.executable, "-c", program, str(ROOT / "pyproject.toml")],
        cwd=folder,
        capture_output=True,
        text=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONPATH": str(folder), "PYTHONUTF8": "1"},
    )


def test_imports_run_from_teach_over_the_topics_to_the_core():
    done = lint_imports(ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


BREACHES = {
    "quantize/ladder.py": "from teach import check",  # nothing imports teach
    "measure.py": "import mini_lib.quantize",  # the core knows no topic
    "quantize/qtensor.py": "from mini_lib import prune",  # topics do not know each other
    "quantize/affine.py": "from mini_lib.quantize import observers",  # a circle: here, observers import affine
    "misc.py": "",  # a new module needs a place
}


def test_a_breach_of_the_contracts_is_found(tmp_path):
    tops = {path.relative_to(ROOT / "mini_lib").parts[0] for path in LIBRARY}
    files = {name if name.endswith(".py") else f"{name}/__init__.py": "" for name in tops | {"prune"}}
    files |= {
        "teach/check.py": "",
        "quantize/affine.py": "",
        "quantize/observers.py": "from mini_lib.quantize import affine",
    }
    for house in (files, files | BREACHES):
        for name, source in house.items():
            path = tmp_path / "mini_lib" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(source + "\n", encoding="utf-8")
        done = lint_imports(tmp_path)
        assert done.returncode == (0 if house is files else 1), done.stdout
    for finding in (
        "mini_lib.quantize.ladder -> teach",
        "mini_lib.measure -> mini_lib.quantize",
        "mini_lib.quantize.qtensor -> mini_lib.prune",
        "No cycles are allowed in mini_lib.quantize",
        "- mini_lib.misc",
    ):
        assert finding in done.stdout, done.stdout


def torch_imports(tree: ast.Module) -> Iterator[str]:
    """Imports of torch: the loops, and the cost part of llm, are arithmetic that must run without it."""
    for node in ast.walk(tree):
        names = (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
        if any(name.split(".")[0].startswith("torch") for name in names):
            yield f"line {node.lineno}: imports torch"


# --- what library code may do --------------------------------------------------------------------------------------


def prints(tree: ast.Module) -> Iterator[str]:
    """Calls of print: the library returns what it has to say."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
            yield f"line {node.lineno}: print()"


def without_docstring(tree: ast.Module) -> Iterator[str]:
    """Public functions and classes, and public methods of public classes, that say nothing about themselves.

    A property is named for what it is, and torch says what `forward` and `extra_repr` are.
    """
    if not ast.get_docstring(tree):
        yield "line 1: the module"
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    public = [node for node in tree.body if isinstance(node, kinds) and not node.name.startswith("_")]
    for node in public:
        inner = node.body if isinstance(node, ast.ClassDef) else []
        methods = [
            one
            for one in inner
            if isinstance(one, kinds)
            and not one.name.startswith("_")
            and one.name not in ("forward", "extra_repr")
            and not any("property" in ast.unparse(decorator) for decorator in one.decorator_list)
        ]
        for one in (node, *methods):
            if not ast.get_docstring(one):
                yield f"line {one.lineno}: {one.name} has no docstring"


def unsafe_loads(tree: ast.Module) -> Iterator[str]:
    """Loads that can run code hidden in a file: pickle and what stands on it.

    Of joblib, only what sends work to other processes may be imported: it reads no file.
    """
    for node in ast.walk(tree):
        names = (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
        if (
            names == ["joblib"]
            and isinstance(node, ast.ImportFrom)
            and {alias.name for alias in node.names} <= {"Parallel", "delayed", "parallel_config"}
        ):
            continue
        for name in names:
            if name.split(".")[0] in ("pickle", "cPickle", "dill", "cloudpickle", "joblib", "marshal", "shelve"):
                yield f"line {node.lineno}: imports {name}"
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
    texts = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef))
        and ast.get_docstring(node)
    }
    for node in ast.walk(tree):
        names = (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
        for name in names:
            if re.match(r"(urllib\.request|http\.client|requests|httpx|aiohttp|ftplib|huggingface_hub)\b", name):
                yield f"line {node.lineno}: imports {name}"
        if isinstance(node, ast.keyword) and node.arg == "download" and getattr(node.value, "value", True):
            yield f"line {node.value.lineno}: download"
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in texts:
            if re.search(r"(https?|ftp)://(?!www\.w3\.org/)", node.value):
                yield f"line {node.lineno}: an address, {node.value[:60]!r}"


RULES = [prints, without_docstring, unsafe_loads, downloads, torch_imports]


@pytest.mark.parametrize(
    "rule, source, line",
    [
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
    """Say f. See https://example.org."""
    return FashionMNIST(x, download=False), np.load(x, allow_pickle=False), "http://www.w3.org/2000/svg"
def _g(): pass
class C:
    """Say C."""
    def __repr__(self): return "C"
    def forward(self, x): return x
    @property
    def name(self): return "C"
'''
    assert list(rule(ast.parse(good))) == []


def is_a_command(path: Path) -> bool:
    """Whether a module is a program that people start: it talks to a terminal, so it may print."""
    return path.name in ("__main__.py", "command.py") or '__name__ == "__main__"' in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("rule", [prints, without_docstring, unsafe_loads, downloads])
def test_the_library_keeps_the_rule(rule):
    paths = [path for path in LIBRARY if not (rule is prints and is_a_command(path))]
    assert len(paths) > 20
    assert [
        f"{short(path)}: {finding}" for path in paths for finding in rule(ast.parse(path.read_text(encoding="utf-8")))
    ] == []


def test_the_arithmetic_of_loops_and_of_llm_costs_needs_no_torch():
    folders = ["loops", "llm/cost", "llm/serving", "llm/prices"]
    paths = [path for folder in folders for path in (ROOT / "mini_lib" / folder).rglob("*.py")]
    assert len(paths) > 20
    assert [
        f"{short(path)}: {finding}"
        for path in paths
        for finding in torch_imports(ast.parse(path.read_text(encoding="utf-8")))
    ] == []


def test_a_file_of_the_library_fits_in_the_head():
    lengths = {short(path): len(path.read_text(encoding="utf-8").splitlines()) for path in LIBRARY}
    assert {name: length for name, length in lengths.items() if length > LONGEST_FILE} == {}


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
LESSONS = sorted((ROOT / "solutions").glob("[0-9][0-9]_*.py"))


def test_every_command_in_the_readme_is_one_of_course_py():
    for name in ("README.md", "CONTRIBUTING.md"):
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
        minutes = re.search(r"(\d+) minutes", source)[1]
        actual.append((path.stem[:2], question, path.stem, minutes))
    assert actual and listed == actual


def test_where_people_go_wrong_is_said_in_the_words_of_the_checks():
    from teach.exercises import find_exercise

    rows = re.findall(r"^\| (\d+\.\d+) \| (.+) \|$", README, re.MULTILINE)
    assert {number.split(".")[0] for number, _ in rows} == {str(int(path.stem[:2])) for path in LESSONS}
    for number, sentence in rows:
        assert sentence in {mistake.says for mistake in find_exercise(number).mistakes}, number


def test_every_lesson_is_built_and_has_slides():
    for path in LESSONS:
        for built in (f"lessons/{path.stem}.ipynb", f"solutions/{path.stem}.ipynb", f"slides/{path.stem}.html"):
            assert (ROOT / built).is_file(), built


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "THIRD_PARTY.md", "LICENSE"])
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
    modules = {path.relative_to(ROOT / "mini_lib").parts[0] for path in LIBRARY if not path.name.startswith("_")}
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
