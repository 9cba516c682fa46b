"""What every command has in common: options, who acts, the one answer, and the one mapper from errors to exit codes.

Exit codes: 0 done; 1 denied, voided, or a check that found something; 2 wrong usage, input, role, id or
configuration; 3 something does not answer; 4 the audit is broken.

With ``--json`` exactly one JSON document goes to standard output, errors included; everything else, logs and questions
too, goes to standard error.
"""

import inspect
import os
import re
import sys
import unicodedata
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, TypeVar

import msgspec
import typer

from gateway.errors import (
    AuditBroken,
    GatewayError,
    GuardRefused,
    LocalFault,
    MalformedMessage,
    PartnerFault,
    RequestInvalid,
    SchemaViolation,
    Unavailable,
    UnknownPartner,
)
from gateway.model.time import parse_rfc3339, rfc3339
from gateway.service.home import Home

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from gateway.cli.client import DeskClient

T = TypeVar("T")
Body = TypeVar("Body", bound=Callable[..., Any])

DONE, NEGATIVE, USAGE, UNAVAILABLE, BROKEN = range(5)

#: Codes of negative answers that arise here: the gateway shows other bytes than its statement names, so nothing is
#: signed; the officer was asked, and said no.
BYTES_DIFFER, DECLINED = "bytes-differ", "declined"

#: Characters of an idempotency key: a UUID, a digest or a short path fits; it travels in a header.
MAX_IDEMPOTENCY_KEY = 128
_VISIBLE = re.compile(r"[!-~]*", re.ASCII)

#: Columns of text where no terminal tells its width: wide enough that no id is broken.
WIDTH = 200

#: Bytes of a document that a command reads whole; the largest real one (a policy) has some 100 KB.
MAX_DOCUMENT = 4 * 1024 * 1024

HomeDir = Annotated[
    Path, typer.Option("--home", envvar="ECLUSE_HOME", help="Folder of the organisation.", show_default=True)
]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]
ActingAs = Annotated[str, typer.Option("--as", envvar="ECLUSE_OFFICER", help="Officer who acts.")]
OfficerKeyFile = Annotated[
    Path | None,
    typer.Option("--officer-key", envvar="ECLUSE_OFFICER_KEY", help="The officer's private key; never sent."),
]
Repeatable = Annotated[
    str, typer.Option("--idempotency-key", help="Repeating the command under this key acts once.")
]

Why = Annotated[
    str, typer.Option("--why", help="What justifies looking; kept in the entry of the read.", metavar="TEXT")
]


@dataclass(frozen=True)
class Place:
    """Where a command runs, and how it answers."""

    home: Home
    json_out: bool


@dataclass(frozen=True)
class Acting:
    """A command that an officer runs against a home's desk."""

    place: Place
    desk: "DeskClient"
    repeatable: bool  # under an idempotency key: what is done already is reported, not refused


@dataclass(frozen=True)
class Answer:
    """What a command says: one document for machines, lines and tables for people, and the exit code."""

    document: Any
    text: "Sequence[RenderableType]" = ()
    code: int = DONE


def leaving(on: Acting, given: Answer) -> Answer:
    """The answer of a command that lets something leave: where no gateway runs, it says that nothing does yet.

    With ``--json`` that is the member ``gateway``, ``not-running``; it is absent while a gateway runs.
    """
    if not on.desk.alone:
        return given
    note = "no gateway is running: nothing is sent until `ecluse serve` runs"
    return Answer({**given.document, "gateway": "not-running"}, [*given.text, note], given.code)


# --- registering commands --------------------------------------------------------------------------------------------


def group(help_text: str) -> typer.Typer:
    """A group of commands."""
    return typer.Typer(help=help_text, no_args_is_help=True, pretty_exceptions_enable=False)


def local(app: typer.Typer, name: str, *, hidden: bool = False) -> Callable[[Body], Body]:
    """Register ``body(place, ...) -> Answer``: a command that needs no officer. Adds ``--home`` and ``--json``."""

    def register(body: Body) -> Body:
        def command(home: Path, json_out: bool, **given: Any) -> None:
            answer(json_out, lambda: body(Place(Home(home), json_out), **given))

        _expose(app, name, body, command, {}, hidden=hidden)
        return body

    return register


def acting(app: typer.Typer, name: str, *, dashed: bool = False) -> Callable[[Body], Body]:
    """Register ``async body(acting, ...) -> Answer``: a command of an officer.

    Adds ``--home --json --as --officer-key --idempotency-key``; without officer and key nothing is sent. ``dashed``: an
    argument of it may begin with a dash, as one thumbprint in 64 does, and is no option for that.
    """
    options = {
        "acting_as": (ActingAs, ""),
        "officer_key": (OfficerKeyFile, None),
        "idempotency_key": (Repeatable, ""),
    }

    def register(body: Body) -> Body:
        def command(
            home: Path,
            json_out: bool,
            acting_as: str,
            officer_key: Path | None,
            idempotency_key: str,
            **given: Any,
        ) -> None:
            place = Place(Home(home), json_out)
            answer(
                json_out,
                lambda: _as_officer(
                    place, acting_as, officer_key, idempotency_key, lambda on: body(on, **given)
                ),
            )

        _expose(app, name, body, command, options, hidden=False, dashed=dashed)
        return body

    return register


def _as_officer(
    place: Place,
    officer: str,
    key_file: Path | None,
    idempotency_key: str,
    body: Callable[[Acting], Awaitable[Answer]],
) -> Answer:
    if not officer or key_file is None:
        raise RequestInvalid(
            "this command is an officer's: name the officer with --as and the key with --officer-key"
        )
    place.home.require()

    import asyncio

    from gateway.cli.client import Identity, desk
    from gateway.service.app import configure_logging
    from gateway.service.provision import read_officer_key

    if len(idempotency_key) > MAX_IDEMPOTENCY_KEY or not _VISIBLE.fullmatch(idempotency_key):
        raise RequestInvalid(
            "an idempotency key is at most 128 visible ASCII characters",
            diagnostic={"field": "idempotency-key", "limit": MAX_IDEMPOTENCY_KEY},
        )
    configure_logging()
    with named(key_file):
        identity = Identity(officer, read_officer_key(key_file))

    async def run() -> Answer:
        async with desk(place.home.path, identity, idempotency_key) as client:
            return await body(Acting(place, client, bool(idempotency_key)))

    return asyncio.run(run())


def _expose(
    app: typer.Typer,
    name: str,
    body: Callable[..., Any],
    command: Callable[..., None],
    options: dict[str, tuple[Any, Any]],
    *,
    hidden: bool,
    dashed: bool = False,
) -> None:
    """Give ``command`` the parameters of ``body`` but its first, and the common options, for typer to read."""
    own = list(inspect.signature(body).parameters.values())[1:]
    common = {"home": (HomeDir, Path("ecluse-home")), "json_out": (Json, False), **options}
    parameters = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own] + [
        inspect.Parameter(option, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
        for option, (annotation, default) in common.items()
    ]
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    command.__doc__ = inspect.getdoc(body)
    command.__name__ = body.__name__
    app.command(name, hidden=hidden, context_settings={"ignore_unknown_options": dashed})(command)


# --- answering -------------------------------------------------------------------------------------------------------


def exit_code(error: GatewayError) -> int:
    """The exit code of an error that ended a command.

    Unavailable 3, AuditBroken 4. A signature, statement or guard that does not hold is a negative answer: 1. Input
    that cannot be read, an unknown id, a missing role, a state that does not allow it: 2.
    """
    if isinstance(error, Unavailable):
        return UNAVAILABLE
    if isinstance(error, AuditBroken):
        return BROKEN
    if isinstance(error, MalformedMessage | SchemaViolation | UnknownPartner):
        return USAGE
    if isinstance(error, PartnerFault | GuardRefused) or error.code in (BYTES_DIFFER, DECLINED):
        return NEGATIVE
    return USAGE if isinstance(error, LocalFault) else UNAVAILABLE


def answer(json_out: bool, produce: Callable[[], Answer]) -> NoReturn:
    """Run a command and print its answer, or its error in one line; ends with its exit code, never with a trace."""
    try:
        given = produce()
    except GatewayError as error:
        complain(json_out, error.code, error.detail, error.diagnostic)
        raise typer.Exit(exit_code(error)) from None
    except (typer.Exit, typer.Abort):
        raise
    except Exception as defect:
        complain(
            json_out, "internal", "the command met something unforeseen", {"class": type(defect).__name__}
        )
        raise typer.Exit(UNAVAILABLE) from None
    if json_out:
        emit(given.document)
    else:
        show(given.text)
    raise typer.Exit(given.code)


def complain(json_out: bool, code: str, detail: str, diagnostic: Any) -> None:
    """One error: a line on standard error, or with ``--json`` the document."""
    if json_out:
        emit({"error": {"code": code, "detail": detail, "diagnostic": dict(diagnostic)}})
        return
    where = ", ".join(f"{name} {value}" for name, value in dict(diagnostic).items() if value != "")
    print(f"error: {code}: {detail}{f' ({where})' if where else ''}", file=sys.stderr)


def emit(document: Any) -> None:
    """The one JSON document of a command; bytes as base64."""
    sys.stdout.write(msgspec.json.encode(document).decode() + "\n")
    sys.stdout.flush()


def show(text: "Iterable[RenderableType]", *, stderr: bool = False) -> None:
    """Lines and tables for people."""
    console = terminal(stderr=stderr)
    for piece in text:
        console.print(visible(piece) if isinstance(piece, str) else piece)


def confirm(question: str, *, read: str) -> None:
    """Ask the officer at the terminal, on standard error; raises when the answer is no, and where nobody can be asked:
    silence signs nothing. ``read``: what is to be read before."""
    if not sys.stdin.isatty():
        raise RequestInvalid(f"nobody can be asked here: read the {read}, then repeat with --yes")
    if not typer.confirm(question, err=True):
        raise LocalFault("nothing was signed", code=DECLINED)


def terminal(*, stderr: bool = False) -> "Console":
    """Where people read. Text is printed as it is: no markup, nothing highlighted, ids never broken."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else WIDTH
    return Console(file=stream, markup=False, highlight=False, soft_wrap=True, width=width, emoji=False)


def visible(text: str) -> str:
    """Text with controls and invisible characters spelled out: nothing from outside can steer a terminal, or turn the
    reading direction under an approver's eyes."""
    return "".join(
        sign
        if sign == "\n" or unicodedata.category(sign) not in ("Cc", "Cf", "Cs", "Zl", "Zp")
        else f"\\u{ord(sign):04x}"
        for sign in text
    )


def one_line(text: str) -> str:
    """Free text in a line that stands for one thing: a line break in it cannot pass for the next thing."""
    return visible(text).replace("\n", "\\n")


def partners_of(to: str) -> tuple[str, ...]:
    """Organisations separated by commas, each once. Raises `RequestInvalid` for none."""
    partners = tuple(dict.fromkeys(name.strip() for name in to.split(",") if name.strip()))
    if not partners:
        raise RequestInvalid("name at least one partner", diagnostic={"field": "to"})
    return partners


def instant_of(text: str, field: str) -> datetime:
    """An instant as it is typed. Raises `RequestInvalid` that names the option."""
    try:
        return parse_rfc3339(text)
    except MalformedMessage as fault:
        raise RequestInvalid(fault.detail, diagnostic={"field": field}) from None


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, title: str = "") -> "RenderableType":
    """Rows for people; an empty one says so."""
    from rich.table import Table
    from rich.text import Text

    drawn = Table(
        *columns, title=title or None, box=None, pad_edge=False, title_justify="left", header_style="bold"
    )
    for row in rows:
        drawn.add_row(*(Text(visible(_cell(cell)), overflow="fold") for cell in row))
    return drawn if drawn.row_count else f"{title or 'list'}: nothing"


def _cell(value: object) -> str:
    return rfc3339(value) if isinstance(value, datetime) else str(value)


# --- files -----------------------------------------------------------------------------------------------------------


@contextmanager
def named(path: Path) -> Iterator[None]:
    """Errors within are about this file, and say so: the user typed its name, and it goes back to nobody else."""
    try:
        yield
    except LocalFault as fault:
        fault.diagnostic = {**fault.diagnostic, "file": str(path)}
        raise


def read_file(path: Path, *, limit: int = MAX_DOCUMENT) -> bytes:
    """A file the user named; raises `RequestInvalid` when it cannot be read or is larger than ``limit`` bytes."""
    try:
        with path.open("rb") as file:
            raw = file.read(limit + 1)
    except OSError:
        raise RequestInvalid("the file cannot be read", diagnostic={"file": str(path)}) from None
    if len(raw) > limit:
        raise RequestInvalid("the file is too large", diagnostic={"file": str(path), "limit": limit})
    return raw


def read_document(path: Path, wanted: type[T]) -> T:
    """A JSON document of a closed type; raises `RequestInvalid` naming the member, never a value."""
    from gateway.service.config import member_at_fault

    raw = read_file(path)
    try:
        return msgspec.json.decode(raw, type=wanted)
    except msgspec.ValidationError as error:
        raise RequestInvalid(
            f"the document does not follow its schema: {member_at_fault(error)}",
            diagnostic={"file": str(path)},
        ) from None
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise RequestInvalid("the file is not JSON", diagnostic={"file": str(path)}) from None


def write_file(path: Path, data: bytes) -> None:
    """Write or replace a public document; raises `RequestInvalid`. Private keys are never written through here."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_bytes(data)
        beside.replace(path)
    except OSError:
        raise RequestInvalid("the file cannot be written", diagnostic={"file": str(path)}) from None


def write_secret(path: Path, data: bytes) -> None:
    """Write a new file that its owner alone may read (mode 0600); raises `RequestInvalid`, for an existing one too."""
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(data)
    except FileExistsError:
        raise RequestInvalid(
            "the file exists already and is not overwritten", diagnostic={"file": str(path)}
        ) from None
    except OSError:
        raise RequestInvalid("the file cannot be written", diagnostic={"file": str(path)}) from None


def written(document: Any, out: Path | None) -> Answer:
    """A document as the answer, or in a file when one is named."""
    raw = msgspec.json.format(msgspec.json.encode(document), indent=2)
    if out is None:
        return Answer(document, [raw.decode()])
    write_file(out, raw + b"\n")
    return Answer({"written": str(out)}, [f"written: {out}"])
