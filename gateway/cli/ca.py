"""`ecluse ca`: a small certificate authority in a folder, for development, exercises and the demonstration."""

from pathlib import Path
from typing import Annotated

import typer

from gateway.cli.shared import Answer, Place, group, local, read_file, write_file
from gateway.errors import RequestInvalid

commands = group("A one-level certificate authority in a folder; not a PKI.")

Folder = Annotated[Path, typer.Argument(metavar="FOLDER", help="Folder of the authority, mode 0700.")]
Org = Annotated[str, typer.Option("--org", help="Organisation id.")]
Days = Annotated[int | None, typer.Option("--days", min=1, help="Days of validity.")]


@local(commands, "init")
def init(
    place: Place,
    folder: Folder,
    org: Org,
    permitted: Annotated[
        list[str] | None, typer.Option("--permitted", help="DNS domain of our hosts; repeatable.")
    ] = None,
    demo: Annotated[
        bool, typer.Option("--demo", help="Marked, short, for loopback: production refuses it.")
    ] = False,
    days: Days = None,
) -> Answer:
    """Found an authority that may vouch for the permitted domains only: give --permitted, or --demo."""
    from certs.ca import ca_init
    from gateway.service.app import now

    if demo is bool(permitted):
        raise RequestInvalid(
            "say for which domains it may vouch: --permitted DOMAIN for each (hosts below it are covered too), or "
            "--demo alone for this machine",
            diagnostic={"field": "permitted"},
        )
    certificate = ca_init(folder, org, now=now(), days=days, demo=demo, permitted=permitted or ())
    end = f"{certificate.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}"
    document = {"certificate": str(folder / "ca.pem"), "crl": str(folder / "crl.pem"), "not_after": end}
    return Answer(document, [f"authority in {folder}, valid until {end}"])


@local(commands, "issue")
def issue(
    place: Place,
    folder: Folder,
    profile: Annotated[str, typer.Argument(help="Certificate profile, such as tls-server.")],
    org: Org,
    public_key: Annotated[Path, typer.Option("--key", help="Public key or signing request, PEM.")],
    out: Annotated[Path, typer.Option("--out", help="The certificate, PEM.")],
    names: Annotated[
        list[str] | None, typer.Option("--name", help="Host name or address; repeatable.")
    ] = None,
    days: Days = None,
) -> Answer:
    """Issue a certificate that follows its profile."""
    from certs.ca import LEAF_DAYS, ca_issue
    from certs.profiles import load_certificate
    from gateway.service.app import now

    pem = ca_issue(
        folder,
        profile,
        org=org,
        public_key=read_file(public_key),
        dns_names=names or (),
        now=now(),
        days=LEAF_DAYS if days is None else days,
    )
    write_file(out, pem)
    serial = f"{load_certificate(pem).serial_number:x}"
    return Answer({"certificate": str(out), "serial": serial}, [f"written: {out}, serial {serial}"])


@local(commands, "revoke")
def revoke(
    place: Place,
    folder: Folder,
    serials: Annotated[
        list[str] | None, typer.Argument(metavar="[SERIAL]...", help="In hexadecimal.")
    ] = None,
) -> Answer:
    """Revoke certificates and renew the list; with no serial number, only renew it."""
    from certs.ca import ca_revoke
    from gateway.service.app import now

    try:
        numbers = [int(serial, 16) for serial in serials or ()]
    except ValueError:
        raise RequestInvalid("a serial number is hexadecimal", diagnostic={"field": "serial"}) from None
    ca_revoke(folder, numbers, now=now())
    return Answer(
        {"crl": str(folder / "crl.pem"), "revoked": serials or []}, [f"new list: {folder / 'crl.pem'}"]
    )
