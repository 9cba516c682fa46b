"""`ecluse officer`: keys of officers, and officers as documents that two persons change."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from gateway.cli.change import propose
from gateway.cli.shared import Acting, Answer, Place, acting, group, local, read_document, table
from gateway.errors import NotFound
from gateway.model.officer import Clearance, Officer
from gateway.model.time import parse_rfc3339

if TYPE_CHECKING:
    from gateway.model.officer import OfficerKey

commands = group("Officers: keys, roles, clearances; suspending is the act of one, all else of two.")

OfficerId = Annotated[str, typer.Argument(metavar="OFFICER")]


@local(commands, "key")
def key(
    place: Place, out: Annotated[Path, typer.Option("--out", help="File for the private key.")]
) -> Answer:
    """Make an officer's key pair. The private key goes to a new file, mode 0600; the public record is printed."""
    from gateway.service.provision import new_officer_key

    public: OfficerKey = new_officer_key(out)
    return Answer(public, [msgspec.json.encode(public).decode()])


@acting(commands, "add")
async def add(on: Acting, file: Annotated[Path, typer.Argument(help="The officer as JSON.")]) -> Answer:
    """Propose an officer, or a new version of one."""
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
        )
        for one in found
    ]
    return Answer(
        {"officers": found}, [table(("officer", "state", "roles", "clearance", "need to know"), rows)]
    )


@acting(commands, "clear")
async def clear(
    on: Acting,
    officer: OfficerId,
    policy: Annotated[str, typer.Option("--policy", help="Whose levels, such as BEL.")],
    level: Annotated[str, typer.Option("--level", help="Highest level.")],
    until: Annotated[str, typer.Option("--until", help="End, as 2027-11-21T00:00:00Z.")],
) -> Answer:
    """Propose a clearance for an officer."""
    clearance = Clearance(policy, level, parse_rfc3339(until))
    return await _change(on, officer, lambda one: msgspec.structs.replace(one, clearance=clearance))


@acting(commands, "suspend")
async def suspend(on: Acting, officer: OfficerId) -> Answer:
    """Suspend an officer, at once: no signature of theirs counts any more."""
    return await _change(on, officer, lambda one: msgspec.structs.replace(one, suspended=True))


@acting(commands, "leave")
async def leave(on: Acting, officer: OfficerId) -> Answer:
    """Take an officer who left out of service, at once: suspended, without roles, every key revoked."""

    def left(one: Officer) -> Officer:
        keys = tuple(msgspec.structs.replace(key, revoked=True) for key in one.keys)
        return msgspec.structs.replace(one, suspended=True, roles=(), keys=keys)

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
