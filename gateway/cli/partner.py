"""`ecluse partner`: directory entries of partners, and our own for them."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from gateway.cli.change import propose
from gateway.cli.shared import (
    Acting,
    Answer,
    Place,
    acting,
    group,
    local,
    read_document,
    read_file,
    table,
    written,
)
from gateway.model.party import Partner, RecipientKind

if TYPE_CHECKING:
    from gateway.service.home import Home

commands = group("Partners: add and widen by two officers, stop by one.")

Org = Annotated[str, typer.Argument(metavar="ORG", help="Organisation id, such as fra.police-demo.")]


def document_of(home: "Home", kind: str, name: str) -> bytes:
    """The exact document in force, read offline: a change must start from these bytes. Raises `NotFound`."""
    from gateway.service.app import open_logs
    from gateway.service.log_source import document_in_force

    with open_logs(home) as tx:
        return document_in_force(tx, kind, name)


@local(commands, "export")
def export(
    place: Place,
    endpoint: Annotated[str, typer.Option("--endpoint", help="https URL under which partners reach us.")],
    tls_name: Annotated[str, typer.Option("--tls-name", help="Name in our server certificate.")],
    recipient_kind: Annotated[RecipientKind, typer.Option("--recipient-kind", help="What we are.")],
    version: Annotated[int, typer.Option("--version", min=1)] = 1,
    out: Annotated[Path | None, typer.Option("--out", help="File; default: standard output.")] = None,
) -> Answer:
    """Write our own entry: public keys, endpoint, what our transport assures. Partners confirm it by telephone."""
    from gateway.flow.change import Founding, canonical, digest
    from gateway.service.config import load_config
    from gateway.service.provision import own_entry

    place.home.require()
    org = load_config(place.home.config).config.organisation.id
    founding = msgspec.json.decode(document_of(place.home, "founding", org), type=Founding)
    entry = own_entry(
        place.home,
        endpoint=endpoint,
        tls_name=tls_name,
        recipient_kind=recipient_kind,
        agreement_keys=founding.agreement_keys,
        version=version,
    )
    answer = written(entry, out)
    fingerprint = digest(canonical(entry))
    if out is None:
        return answer
    return Answer({**answer.document, "sha256": fingerprint}, [*answer.text, f"sha256 {fingerprint}"])


@acting(commands, "add")
async def add(
    on: Acting, file: Annotated[Path, typer.Argument(help="The partner's entry as JSON.")]
) -> Answer:
    """Propose a partner, or a new version of its entry. Compare its sha256 by telephone before a second approves."""
    from gateway.flow.change import canonical, digest

    entry = read_document(file, Partner)
    proposed = await propose(on, "partner", entry.org, entry)
    fingerprint = digest(canonical(entry))
    return Answer(
        {**proposed.document, "sha256": fingerprint}, [*proposed.text, f"entry sha256 {fingerprint}"]
    )


@local(commands, "trust")
def trust(
    place: Place,
    org: Org,
    authority: Annotated[Path, typer.Option("--authority", help="The partner's authority, PEM.")],
    crl: Annotated[Path, typer.Option("--crl", help="Its revocation list, PEM.")],
    replace: Annotated[
        bool, typer.Option("--replace", help="In the place of another authority trusted for it.")
    ] = False,
) -> Answer:
    """Let TLS accept certificates of a partner's authority. Who the partner is stays the directory's word.

    A running gateway takes it up within seconds. Repeat it with each new revocation list, before the last one ends; an
    older list than the one in place is refused, and so is an authority with another key without --replace.
    """
    from certs.profiles import is_organisation
    from gateway.errors import RequestInvalid
    from gateway.service.provision import trust_authority

    place.home.require()
    if not is_organisation(org):
        raise RequestInvalid("not an organisation id: alpha-3 code, dot, slug", diagnostic={"field": "org"})
    trust_authority(place.home, org, read_file(authority), read_file(crl), other_authority=replace)
    return Answer({"trusted": org}, [f"TLS accepts the authority of {org}; a running gateway within seconds"])


@acting(commands, "list")
async def list_partners(on: Acting) -> Answer:
    """List partners in the directory."""
    from gateway.service.calls import Page

    found = await on.desk.call("partners/list", Page(), list[dict[str, Any]])
    rows = [
        (
            one["org"],
            "stopped" if one["stopped"] else "in force",
            one["recipient_kind"],
            one["version"],
            one["name"],
        )
        for one in found
    ]
    return Answer({"partners": found}, [table(("partner", "state", "kind", "version", "name"), rows)])


@acting(commands, "show")
async def show(on: Acting, org: Org) -> Answer:
    """Show a partner's entry in force, with its digest for the telephone."""
    from gateway.flow.change import digest

    raw = document_of(on.place.home, "partner", org)
    document = {"sha256": digest(raw), "entry": msgspec.json.decode(raw)}
    return Answer(document, [f"sha256 {digest(raw)}", msgspec.json.format(raw, indent=2).decode()])


@acting(commands, "stop")
async def stop(on: Acting, org: Org) -> Answer:
    """Stop a partner, at once: nothing more leaves for it, and nothing of it is accepted."""
    before = msgspec.json.decode(document_of(on.place.home, "partner", org), type=Partner)
    stopped = msgspec.structs.replace(before, stopped=True, version=before.version + 1)
    return await propose(on, "partner", org, stopped)
