"""`ecluse officer`: keys of officers, and officers as documents that two persons change."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import msgspec
import typer
from typer.core import TyperGroup

from gateway.cli.change import propose
from gateway.cli.shared import (
    Acting,
    Answer,
    Place,
    acting,
    group,
    instant_of,
    local,
    named,
    read_document,
    table,
    written,
)
from gateway.errors import Conflict, NotFound, RequestInvalid
from gateway.model.officer import Body, Clearance, Mandate, Officer, Role
from gateway.model.time import parse_rfc3339

if TYPE_CHECKING:
    from gateway.model.officer import OfficerKey

commands = group("Officers: what takes away is the act of one person, at once; what gives takes two.")


class _NewByDefault(TyperGroup):
    """`officer key --out F` is `officer key new --out F`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        named = not args or not args[0].startswith("-") or args[0] == "--help"
        return super().parse_args(ctx, args if named else ["new", *args])


keys = typer.Typer(
    help="An officer's keys: make a pair, give another, revoke one.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    cls=_NewByDefault,
)
commands.add_typer(keys, name="key")

ROLES: tuple[Role, ...] = get_args(Role)
BODIES: tuple[Body, ...] = get_args(Body)

OfficerId = Annotated[str, typer.Argument(metavar="OFFICER")]


@local(keys, "new")
def key(
    place: Place,
    out: Annotated[Path, typer.Option("--out", help="New file for the private key.")],
    json_file: Annotated[
        Path | None, typer.Option("--json-out", help="Write the whole officer here, with what follows.")
    ] = None,
    officer: Annotated[str, typer.Option("--id", help="Officer id, such as be-requester.")] = "",
    person: Annotated[str, typer.Option("--person", help="Id of the human being.")] = "",
    name: Annotated[str, typer.Option("--name", help="Name as colleagues read it.")] = "",
    roles: Annotated[
        list[str] | None, typer.Option("--role", help=f"{', '.join(ROLES)}; repeatable.")
    ] = None,
    need_to_know: Annotated[
        list[str] | None, typer.Option("--need-to-know", help="Record kind or group; repeatable; none: none.")
    ] = None,
    policy: Annotated[str, typer.Option("--clearance-policy", help="Whose levels, such as BEL.")] = "",
    level: Annotated[str, typer.Option("--clearance-level", help="Highest level.")] = "",
    until: Annotated[str, typer.Option("--clearance-until", help="End, as 2027-11-21T00:00:00Z.")] = "",
) -> Answer:
    """Make an officer's key pair. The private key goes to a new file, mode 0600; the public record is printed.

    With --json-out the whole officer is written, as `founding new` and `officer add` take it; docs/samples/officer.json
    shows one.
    """
    from gateway.service.provision import new_officer_key

    described = (officer, person, name, roles, need_to_know, policy, level, until)
    if json_file is None:
        if any(described):
            raise RequestInvalid("say with --json-out where the officer is written")
        with named(out):
            public: OfficerKey = new_officer_key(out)
        return Answer(public, [msgspec.json.encode(public).decode()])
    # Everything is checked before there is a key.
    if not (officer and person and name and roles):
        raise RequestInvalid("an officer needs --id, --person, --name and at least one --role")
    if json_file.exists():
        raise Conflict("a file of this name exists already", diagnostic={"file": str(json_file)})
    if not set(roles) <= set(ROLES):
        raise RequestInvalid(f"a role is one of {', '.join(ROLES)}", diagnostic={"field": "role"})
    clearance = None
    if any((policy, level, until)):
        if not all((policy, level, until)):
            raise RequestInvalid(
                "a clearance needs --clearance-policy, --clearance-level and --clearance-until"
            )
        clearance = Clearance(policy, level, parse_rfc3339(until))
    with named(out):
        public = new_officer_key(out)
    document = Officer(
        id=officer,
        person=person,
        name=name,
        roles=tuple(role for role in ROLES if role in roles),
        keys=(public,),
        clearance=clearance,
        need_to_know=tuple(need_to_know or ()),
    )
    written(document, json_file)
    return Answer(document, [f"written: {out} (private) and {json_file}"])


@acting(commands, "add")
async def add(on: Acting, file: Annotated[Path, typer.Argument(help="The officer as JSON.")]) -> Answer:
    """Propose an officer, or a new version of one. docs/samples/officer.json shows every member."""
    officer = read_document(file, Officer)
    return await propose(on, "officer", officer.id, officer)


@acting(commands, "list")
async def list_officers(on: Acting) -> Answer:
    """List officers with roles and clearances."""
    found = await _officers(on)
    rows = [
        (
            one.id,
            "suspended" if one.suspended else "in force",
            " ".join(one.roles),
            f"{one.clearance.policy} {one.clearance.level} until {one.clearance.until:%Y-%m-%d}"
            if one.clearance
            else "none",
            " ".join(one.need_to_know),
            f"{one.mandate.body} until {one.mandate.until:%Y-%m-%d}" if one.mandate else "",
        )
        for one in found
    ]
    return Answer(
        {"officers": found},
        [table(("officer", "state", "roles", "clearance", "need to know", "mandate"), rows)],
    )


@acting(keys, "add")
async def key_add(
    on: Acting,
    officer: OfficerId,
    file: Annotated[Path, typer.Argument(help="The public record, as `officer key new` prints it.")],
) -> Answer:
    """Propose another key for an officer, beside those there are. Takes a second person."""
    from gateway.model.officer import OfficerKey

    public = read_document(file, OfficerKey)
    return await _change(on, officer, lambda one: msgspec.structs.replace(one, keys=(*one.keys, public)))


@acting(keys, "revoke", dashed=True)
async def key_revoke(
    on: Acting,
    officer: OfficerId,
    kid: Annotated[
        str, typer.Argument(metavar="KID", help="Id of the key, as `officer list --json` shows it.")
    ],
) -> Answer:
    """Revoke a lost or stolen key, at once: nothing it ever signed counts for what has not left yet."""

    def revoked(one: Officer) -> Officer:
        if kid not in {key.kid for key in one.keys}:
            raise NotFound("the officer has no key of this id")
        keys = tuple(msgspec.structs.replace(key, revoked=key.revoked or key.kid == kid) for key in one.keys)
        return msgspec.structs.replace(one, keys=keys)

    return await _change(on, officer, revoked)


@acting(commands, "clear")
async def clear(
    on: Acting,
    officer: OfficerId,
    policy: Annotated[str, typer.Option("--policy", help="Whose levels, such as BEL.")] = "",
    level: Annotated[str, typer.Option("--level", help="Highest level.")] = "",
    until: Annotated[str, typer.Option("--until", help="End, as 2027-11-21T00:00:00Z.")] = "",
    withdraw: Annotated[bool, typer.Option("--withdraw", help="No clearance any more.")] = False,
) -> Answer:
    """Set or extend an officer's clearance: takes a second person. Lowering or withdrawing it is at once."""
    given = (policy, level, until)
    if any(given) if withdraw else not all(given):
        raise RequestInvalid("a clearance needs --policy, --level and --until, or --withdraw alone")
    clearance = None if withdraw else Clearance(policy, level, parse_rfc3339(until))
    return await _change(on, officer, lambda one: msgspec.structs.replace(one, clearance=clearance))


@acting(commands, "mandate")
async def mandate(
    on: Acting,
    officer: OfficerId,
    body: Annotated[str, typer.Option("--body", help=f"{', '.join(BODIES)}.")] = "",
    partners: Annotated[
        list[str] | None, typer.Option("--partner", help="Organisation id, or * for all; repeatable.")
    ] = None,
    kinds: Annotated[
        list[str] | None, typer.Option("--kind", help="Record kind, or * for all; repeatable.")
    ] = None,
    since: Annotated[str, typer.Option("--since", help="Begin, as 2026-12-01T00:00:00Z.")] = "",
    until: Annotated[str, typer.Option("--until", help="End, not included.")] = "",
    withdraw: Annotated[bool, typer.Option("--withdraw", help="The house's own reviewer again.")] = False,
) -> Answer:
    """Say for which body a reviewer looks, at what, from when until when. Takes a second person, given or taken away.

    What a reviewer of a body outside the house, or of the data protection officer, reads is sealed to the body's key,
    which two persons put in force: `ecluse change propose oversight BODY FILE`.
    """
    given = (body, partners, kinds, since, until)
    if any(given) if withdraw else not all(given):
        raise RequestInvalid(
            "a mandate needs --body, --partner, --kind, --since and --until, or --withdraw alone"
        )
    if withdraw:
        return await _change(on, officer, lambda one: msgspec.structs.replace(one, mandate=None))
    if body not in BODIES:
        raise RequestInvalid(f"a body is one of {', '.join(BODIES)}", diagnostic={"field": "body"})
    first, after = instant_of(since, "since"), instant_of(until, "until")
    if first >= after:
        raise RequestInvalid("a mandate ends after it begins", diagnostic={"field": "until"})
    made = Mandate(body, tuple(partners or ()), tuple(kinds or ()), first, after)

    def mandated(one: Officer) -> Officer:
        if not set(one.roles) <= {"reviewer"}:
            raise RequestInvalid("who reviews by a mandate has no other role", diagnostic={"field": "role"})
        return msgspec.structs.replace(one, mandate=made)

    return await _change(on, officer, mandated)


@acting(commands, "suspend")
async def suspend(on: Acting, officer: OfficerId) -> Answer:
    """Suspend an officer, at once: no signature of theirs counts any more, made before or after.

    Another entry of the same person stays as it is: suspend that one too.
    """
    return await _change(on, officer, lambda one: msgspec.structs.replace(one, suspended=True))


@acting(commands, "resume")
async def resume(on: Acting, officer: OfficerId) -> Answer:
    """Propose that a suspended officer comes back. Takes two persons, neither of them the one who comes back."""
    return await _change(on, officer, lambda one: msgspec.structs.replace(one, suspended=False))


@acting(commands, "leave")
async def leave(on: Acting, officer: OfficerId) -> Answer:
    """Take an officer who left out of service, at once: suspended, without roles or clearance, every key revoked.

    What this person asked for or approved and has not left yet is voided when it is looked at next. The entry stays,
    and every older version of it.
    """

    def left(one: Officer) -> Officer:
        keys = tuple(msgspec.structs.replace(key, revoked=True) for key in one.keys)
        return msgspec.structs.replace(
            one, suspended=True, roles=(), keys=keys, clearance=None, need_to_know=()
        )

    return await _change(on, officer, left)


async def _officers(on: Acting) -> list[Officer]:
    from gateway.service.calls import Page

    found: list[Officer] = await on.desk.call("officers/list", Page(), list[Officer])
    return found


async def _change(on: Acting, name: str, edit: Callable[[Officer], Officer]) -> Answer:
    """Propose the officer in force, edited, as its next version."""
    before = next((one for one in await _officers(on) if one.id == name), None)
    if before is None:
        raise NotFound("there is no officer of this id")
    after = msgspec.structs.replace(edit(before), version=before.version + 1)
    return await propose(on, "officer", name, after)
