"""House rules that imports cannot show: a core without clock or chance, small files, verifiers that raise."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CORE = ("model", "policy", "wire", "audit", "guard", "flow")
PACKAGES = ("gateway", "adapters", "schemas", "certs")

MAX_LINES = 500  # lines of one Python file; past this a reader loses the thread and the file has two subjects

#: What lets clock, chance, environment or files in; package data is read as a resource and is none of these.
IMPURE_METHODS = frozenset({"now", "utcnow", "today", "getenv", "urandom", "uuid1", "uuid4", "uuid7"})
IMPURE_NAMES = IMPURE_METHODS | {"open", "print", "input", "eval", "exec", "breakpoint", "environ", "random"}

VERIFIER = re.compile(r"_?(verify|check|authenticate|validate|admit)(_|$)")
VAGUE_NAME = re.compile(r"(^|_)(utils?|helpers?|managers?|misc|common)($|_)")
PRIVATE_KEY = re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----\s+[A-Za-z0-9+/=]{20}")


def python_files(*folders: str) -> Iterator[tuple[str, str]]:
    """Path and text of all Python files below ``folders`` of the repository."""
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")


def impurities(source: str) -> list[str]:
    """``line: name`` of each call or name in ``source`` that would let the world into the core."""
    found: list[tuple[int, str]] = []
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Call(func=ast.Name(id=name)) if name in IMPURE_NAMES:
                found.append((node.lineno, name))
            case ast.Call(func=ast.Attribute(attr=name)) if name in IMPURE_METHODS:
                found.append((node.lineno, name))
            case ast.Attribute(value=ast.Name(id="os"), attr="environ"):
                found.append((node.lineno, "environ"))
            case ast.ImportFrom(names=names):
                found += [(node.lineno, alias.name) for alias in names if alias.name in IMPURE_NAMES]
    return [f"{line}: {name}" for line, name in sorted(found)]


def boolean_verifiers(source: str) -> list[str]:
    """Functions in ``source`` that verify and return a bool, at which a caller may forget to look."""
    return [
        node.name
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and VERIFIER.match(node.name)
        and isinstance(node.returns, ast.Name)
        and node.returns.id == "bool"
    ]


@pytest.mark.parametrize(
    "source",
    [
        "from datetime import datetime\nat = datetime.now()",
        "import datetime\nat = datetime.datetime.utcnow()",
        "import datetime\nday = datetime.date.today()",
        "import uuid\nname = uuid.uuid4()",
        "from uuid import uuid4",
        "import os\nhome = os.environ['HOME']",
        "from os import environ",
        "from os import urandom",
        "text = open('file').read()",
        "print('seen')",
    ],
)
def test_the_purity_check_finds(source: str) -> None:
    """Each way to let clock, chance, environment or files into the core is found."""
    assert impurities(source)


@pytest.mark.parametrize(
    "source",
    [
        "def recheck(now): return now",
        "import uuid\nname = uuid.UUID(int=0)",
        "from importlib.resources import files\ntext = files('schemas').joinpath('a.json').read_text()",
    ],
)
def test_the_purity_check_allows(source: str) -> None:
    """Time as an argument, ids as values and package data are no impurity."""
    assert not impurities(source)


#: The one place of the core that evaluates, and how often: rules, written there from a typed tree (ADR 0027).
EVALUATES = {"gateway/policy/expr.py": 1}


def test_the_core_is_pure() -> None:
    """No file of the core reads the clock, chance, the environment or a file: they are arguments."""
    core = dict(python_files(*(f"gateway/{room}" for room in CORE)))
    core["gateway/errors.py"] = (ROOT / "gateway" / "errors.py").read_text(encoding="utf-8")
    found = {path: impurities(text) for path, text in core.items()}
    evaluates = {path: sum(": eval" in one for one in lines) for path, lines in found.items()}
    assert {path: count for path, count in evaluates.items() if count} == EVALUATES
    assert [one for lines in found.values() for one in lines if ": eval" not in one] == []


def test_no_verifier_returns_a_bool() -> None:
    """A verifier returns a proof or raises; the check itself knows one when it sees one."""
    assert boolean_verifiers("def verify_seal(raw: bytes) -> bool: ...") == ["verify_seal"]
    assert {path: found for path, text in python_files(*PACKAGES) if (found := boolean_verifiers(text))} == {}


def test_files_are_small() -> None:
    """No Python file is longer than the limit."""
    lengths = {path: len(text.splitlines()) for path, text in python_files(*PACKAGES, "tests", "docs")}
    assert {path: lines for path, lines in lengths.items() if lines > MAX_LINES} == {}


def test_names_say_something() -> None:
    """No module is named for not knowing what it is about."""
    assert [path for path, _ in python_files(*PACKAGES, "tests") if VAGUE_NAME.search(Path(path).stem)] == []


def test_nothing_is_left_unwritten() -> None:
    """No product code raises NotImplementedError: what is not built is not there."""
    assert [path for path, text in python_files(*PACKAGES) if "NotImplementedError" in text] == []


def test_a_question_has_one_place() -> None:
    """Whether somebody can be asked is looked at in one place, which signs nothing without: no command may ask at a
    terminal only."""
    asking = [path for path, text in python_files("gateway") if "stdin.isatty" in text]
    assert asking == ["gateway/cli/shared.py"]


def test_no_private_key_is_in_the_tree() -> None:
    """Test keys are generated when the test runs; none is kept."""
    folders = (*PACKAGES, "tests", "docs")
    kept = [path for folder in folders for path in (ROOT / folder).rglob("*") if path.is_file()]
    assert [str(path.relative_to(ROOT)) for path in kept if PRIVATE_KEY.search(path.read_bytes())] == []
