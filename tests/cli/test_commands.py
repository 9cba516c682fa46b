"""The contract of every command: exit codes, one JSON document, plain sentences, light imports."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
import typer
import typer.main

from gateway import errors
from gateway.cli import app, inbox, shared
from gateway.cli.shared import Answer, exit_code, one_line, visible
from gateway.model.signing import ChangeKind
from tests.cli.conftest import Run

ACTING = [
    ("record", "list"),
    ("inbox", "show", "x"),
    ("queue", "list"),
    ("trace", "x"),
    ("approve", "x"),
    ("change", "list"),
    ("officer", "suspend", "x"),
    ("partner", "stop", "x"),
    ("agreement", "revoke", "x"),
    ("embargo", "list"),
    ("policy", "explain", "x"),
]


def test_importing_the_commands_is_light() -> None:
    """Neither servers, database nor cryptography are loaded to print a help text."""
    probe = (
        "import sys; from gateway.cli import main; code = main(['--help']); "
        "print(code, sorted({'aiohttp', 'sqlalchemy', 'cryptography', 'asyncio', 'lxml', 'jwt'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0 []"


def every_command(command: Any, words: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    """Every command below this one by its words."""
    below: dict[str, Any] = getattr(command, "commands", {})
    if not below:
        return {words: command}
    found: dict[tuple[str, ...], Any] = {}
    for name, inner in below.items():
        found |= every_command(inner, (*words, name))
    return found


def test_every_command_says_what_it_does_and_answers_in_json() -> None:
    """Each command has a help text and --json; only the signer, which nobody calls, is hidden and has none."""
    commands = every_command(typer.main.get_command(app))
    assert {("disclose",), ("audit", "verify"), ("embargo", "lift")} <= commands.keys()
    assert all(command.help for command in commands.values())
    silent = {
        words
        for words, command in commands.items()
        if "json_out" not in {parameter.name for parameter in command.params}
    }
    assert silent == {("signer",)}
    assert {words for words, command in commands.items() if command.hidden} == {("signer",)}


def test_proposing_names_every_kind_of_change() -> None:
    """`change propose --help` says each kind that the gateway knows."""
    command = every_command(typer.main.get_command(app))["change", "propose"]
    (kind,) = (parameter for parameter in command.params if parameter.name == "kind")
    assert kind.help == ", ".join(get_args(ChangeKind))


@pytest.mark.parametrize("words", ACTING)
def test_without_an_officer_nothing_is_done(ecluse: Run, tmp_path: Path, words: tuple[str, ...]) -> None:
    """A command of an officer without --as and --officer-key is exit code 2, with a sentence that says what to add."""
    said = ecluse(*words, "--home", tmp_path, "--json")
    assert (said.code, said.document["error"]["code"]) == (2, "request-invalid")
    assert "--as" in said.document["error"]["detail"]
    assert "--officer-key" in said.document["error"]["detail"]


def test_words_that_are_no_text(ecluse: Run) -> None:
    """Bytes that are no UTF-8 are wrong usage, not something unforeseen."""
    said = ecluse("preview", "x\udcff", "--json")
    assert (said.code, said.document["error"]["code"]) == (2, "usage")


@pytest.mark.parametrize(
    "words",
    [("nonsense",), ("record", "nonsense"), ("disclose", "x"), ("inbox", "show"), ("queue", "list", "--no")],
)
def test_wrong_usage(ecluse: Run, words: tuple[str, ...]) -> None:
    """A command that cannot be read is exit code 2: one document with --json, else one line on standard error."""
    said = ecluse(*words, "--json")
    assert (said.code, said.document["error"]["code"]) == (2, "usage")
    plain = ecluse(*words)
    assert (plain.code, plain.out) == (2, "")
    assert plain.err.startswith("error: usage: ")


@pytest.mark.parametrize("words", [("config", "check"), ("audit", "verify"), ("serve",), ("signer",)])
def test_no_home(ecluse: Run, tmp_path: Path, words: tuple[str, ...]) -> None:
    """Without a home: exit code 2 and one line that names no path."""
    said = ecluse(*words, "--home", tmp_path / "nowhere")
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith("error: config-invalid: ")
    assert len(said.err.splitlines()) == 1
    assert str(tmp_path) not in said.err


def test_a_bad_officer_key(ecluse: Run, tmp_path: Path) -> None:
    """A key that others may read is refused before anything is sent."""
    (tmp_path / "gateway.toml").write_text("")
    (tmp_path / "signer").mkdir()
    key = tmp_path / "key.pem"
    key.write_text("no key")
    key.chmod(0o644)
    said = ecluse("record", "list", "--home", tmp_path, "--as", "be-one", "--officer-key", key, "--json")
    assert (said.code, said.document["error"]["code"]) == (2, "config-invalid")


EXPECTED = {
    1: ("SignatureInvalid", "WrongAudience", "Replayed", "DigestConflict", "OutsideAgreement", "GuardRefused",
        "PartnerFault"),
    2: ("RecordInvalid", "PolicyInvalid", "ConfigInvalid", "RequestInvalid", "RoleMissing", "NotFound", "Conflict",
        "CertificateProfileViolation", "LocalFault", "MalformedMessage", "SchemaViolation", "UnknownPartner"),
    3: ("Unavailable", "PartnerUnreachable", "StoreUnavailable", "SignerUnavailable", "OverQuota", "GatewayError"),
    4: ("AuditBroken",),
}  # fmt: skip


def test_every_error_has_its_exit_code() -> None:
    """The table above is complete: each error class has exactly one of the codes 1 to 4."""
    table = {name: code for code, names in EXPECTED.items() for name in names}
    classes = {
        name: kind
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, errors.GatewayError) and kind is not errors.OutOfOrder
    }
    assert table.keys() == classes.keys()
    assert {name: exit_code(kind("a sentence")) for name, kind in classes.items()} == table
    assert exit_code(errors.OutOfOrder("a sentence", expected=1)) == 1


def test_an_error_is_one_line_and_a_defect_no_trace(capfd: pytest.CaptureFixture[str]) -> None:
    """A gateway error is told with its field; anything unforeseen names its class alone, never its text."""

    def missing() -> Answer:
        raise errors.RequestInvalid("a member is missing", diagnostic={"field": "to"})

    def broken() -> Answer:
        raise ValueError("Zzemo Exemple")

    for produce, code, line in (
        (missing, 2, "error: request-invalid: a member is missing (field to)\n"),
        (broken, 3, "error: internal: the command met something unforeseen (class ValueError)\n"),
    ):
        with pytest.raises(typer.Exit) as ended:
            shared.answer(False, produce)
        assert ended.value.exit_code == code
        assert capfd.readouterr() == ("", line)


def test_nothing_invisible_reaches_a_terminal() -> None:
    """Escape sequences, reading-direction marks and line separators are spelled out; names in any script stay."""
    assert visible("a\x1b[2J\u202eb\u2028c\x9b\r") == "a\\u001b[2J\\u202eb\\u2028c\\u009b\\u000d"
    assert visible("إكزمبل Zzemo\nligne") == "إكزمبل Zzemo\nligne"


def test_free_text_stays_in_its_line() -> None:
    """A justification with a line break cannot pass for the lines after it."""
    assert one_line("synthetic\npayload, 0 bytes\r") == "synthetic\\npayload, 0 bytes\\u000d"


def test_documents_hold_bytes_as_base64(capfd: pytest.CaptureFixture[str]) -> None:
    """The JSON of an answer with bytes can be read back, exactly."""
    shared.emit(inbox.payload_members(b"\xff\x00"))
    document = json.loads(capfd.readouterr().out)
    assert msgspec.convert(document["payload_base64"], bytes, strict=False) == b"\xff\x00"
