"""`ecluse serve`, `signer`, `demo`; `init` and `founding`, from which a home starts; `config check`."""

import os
import sys
from pathlib import Path
from typing import Annotated

import msgspec
import typer

from gateway.cli.shared import (
    DONE,
    Answer,
    HomeDir,
    Json,
    OfficerKeyFile,
    Place,
    answer,
    group,
    local,
    read_document,
    read_file,
    written,
)
from gateway.errors import Conflict, RequestInvalid
from gateway.model.officer import Officer
from gateway.model.party import KeyRecord
from gateway.service.home import Home

commands = group("The gateway.")
founding = group("The document a home starts from; two of its security officers sign it.")
config = group("The configuration.")

DEFAULT_HOME = Path("ecluse-home")


# --- processes -------------------------------------------------------------------------------------------------------


@commands.command("serve")
def serve(
    home: HomeDir = DEFAULT_HOME,
    role: Annotated[str, typer.Option("--role", help="Only `all` exists yet.")] = "all",
    with_parent: Annotated[
        bool, typer.Option("--with-parent", help="End when standard input closes.", hidden=True)
    ] = False,
    json_out: Json = False,
) -> None:
    """Run the gateway until it is told to stop. Logs are JSON lines on standard error."""

    def run() -> Answer:
        place = Home(home)
        place.require()
        if role != "all":
            raise RequestInvalid("there is no such role: only all exists", diagnostic={"field": "role"})
        # OpenSSL reads its configuration once a process, so this comes before anything else.
        from gateway.service.tls import ensure_openssl_conf

        ensure_openssl_conf(home / "openssl.cnf", sys.orig_argv, os.environ)

        import asyncio

        from gateway.service import app

        app.configure_logging()
        code = asyncio.run(app.serve(place, with_parent=with_parent))
        return Answer({"ended": code}, (), code)

    answer(json_out, run)


@commands.command("signer", hidden=True)
def signer(home: HomeDir = DEFAULT_HOME) -> None:
    """The process that holds the keys; started by the gateway, and ends with it."""

    def run() -> Answer:
        from gateway.service.signer_main import run_signer

        place = Home(home)
        place.require()
        run_signer(place)
        return Answer({"ended": DONE})

    answer(False, run)


@commands.command("demo")
def demo(
    once: Annotated[bool, typer.Option("--once", help="In a temporary folder, removed at the end.")] = False,
    folder: Annotated[Path | None, typer.Option("--folder", help="Default: ./ecluse-demo")] = None,
    json_out: Json = False,
) -> None:
    """Two gateways on loopback tell one story, from record to receipt to proof. Synthetic data only."""

    def run() -> Answer:
        from gateway.cli.demo import demo_command
        from gateway.service.app import configure_logging

        configure_logging()
        raise typer.Exit(demo_command(once, json_out, folder))

    answer(json_out, run)


@commands.command("bench")
def bench(
    messages: Annotated[int, typer.Option("--messages", help="Queued in each round.")] = 500,
    rounds: Annotated[int, typer.Option("--rounds", help="Interleaved; medians are printed.")] = 3,
    against: Annotated[
        str, typer.Option("--against", help="A peer to measure beside; none is known yet.")
    ] = "",
    json_out: Json = False,
) -> None:
    """Measure two gateways on loopback beside this machine's disk and the floor of one message."""

    def run() -> Answer:
        from gateway.cli.bench import bench as measure
        from gateway.service.app import configure_logging

        configure_logging()
        return measure(messages, rounds, against)

    answer(json_out, run)


# --- founding --------------------------------------------------------------------------------------------------------


@local(founding, "new")
def founding_new(
    place: Place,
    org: Annotated[str, typer.Option("--org", help="Organisation id, such as bel.ocam.")],
    nation: Annotated[str, typer.Option("--nation", help="ISO 3166 alpha-3.")],
    name: Annotated[str, typer.Option("--name", help="Name of the organisation.")],
    officers: Annotated[list[Path], typer.Option("--officer", help="An officer as JSON; repeatable.")],
    agreement_keys: Annotated[list[Path], typer.Option("--agreement-key", help="Public record; repeatable.")],
    out: Annotated[Path, typer.Option("--out", help="The document, not signed yet.")],
    settings: Annotated[
        Path | None,
        typer.Option("--settings", help="Thresholds of the release policy as TOML; what is absent denies."),
    ] = None,
    demo: Annotated[bool, typer.Option("--demo", help="A demonstration: production refuses it.")] = False,
) -> Answer:
    """Write the founding document: who the organisation is, its first officers, its offline agreement keys."""
    from gateway.flow.change import Founding, SignedFounding, canonical, digest
    from gateway.model.time import rfc3339
    from gateway.policy.context import Settings
    from gateway.service.app import now
    from gateway.service.provision import read_settings, shipped_policy

    document = canonical(
        Founding(
            v=1,
            org=org,
            nation=nation,
            name=name,
            profile="demo" if demo else "",
            officers=tuple(read_document(path, Officer) for path in officers),
            agreement_keys=tuple(read_document(path, KeyRecord) for path in agreement_keys),
            policy_sha256=digest(shipped_policy()),
            settings=read_settings(settings) if settings else Settings(),
            at=rfc3339(now()),
        )
    )
    written(SignedFounding(document, ()), out)
    return Answer(
        {"written": str(out), "sha256": digest(document)}, [f"written: {out}, sha256 {digest(document)}"]
    )


@local(founding, "sign")
def founding_sign(
    place: Place,
    file: Annotated[Path, typer.Argument(help="The founding document.")],
    officer: Annotated[str, typer.Option("--as", envvar="ECLUSE_OFFICER", help="Officer who signs.")] = "",
    officer_key: OfficerKeyFile = None,
) -> Answer:
    """Sign the founding document, offline: the first signature proposes, the second approves."""
    from gateway.flow.change import ACTS, SignedFounding, digest
    from gateway.service.app import now
    from gateway.service.provision import read_officer_key
    from gateway.wire.endorse import sign_change
    from gateway.wire.jws import thumbprint

    if not officer or officer_key is None:
        raise RequestInvalid("name the officer with --as and the key with --officer-key")
    signed = read_document(file, SignedFounding)
    if len(signed.endorsements) == len(ACTS):
        raise Conflict("the document is signed by two officers already")
    private = read_officer_key(officer_key)
    act = ACTS[len(signed.endorsements)]
    token = sign_change(
        private,
        thumbprint(private.public_key()),
        officer=officer,
        act=act,
        at=now(),
        statement=signed.document,
    )
    written(msgspec.structs.replace(signed, endorsements=(*signed.endorsements, token)), file)
    document = {"sha256": digest(signed.document), "signatures": len(signed.endorsements) + 1}
    return Answer(document, [f"{document['signatures']} of 2 signatures, sha256 {document['sha256']}"])


@local(commands, "init")
def init(
    place: Place,
    founding_file: Annotated[Path, typer.Option("--founding", help="The document two officers signed.")],
    config_file: Annotated[Path, typer.Option("--config", help="gateway.toml to start with.")],
    authority: Annotated[Path, typer.Option("--authority", help="Folder of our certificate authority.")],
    hosts: Annotated[list[str], typer.Option("--host", help="Name of our listener; repeatable.")],
) -> Answer:
    """Make a home from a founding document: signer's keys, certificates, trust, database."""
    from gateway.flow.change import SignedFounding
    from gateway.service.app import now
    from gateway.service.provision import create_home

    signed = read_document(founding_file, SignedFounding)
    try:
        text = read_file(config_file).decode()
    except UnicodeDecodeError:
        raise RequestInvalid("the configuration is not UTF-8") from None
    create_home(place.home, signed, text, authority, host_names=tuple(hosts), now=now())
    return Answer({"home": str(place.home.path)}, [f"home made: {place.home.path}"])


# --- configuration ---------------------------------------------------------------------------------------------------


@local(config, "check")
def check(place: Place) -> Answer:
    """Check gateway.toml; prints its digest, which the log records at every start. Errors name the member."""
    from gateway.service.config import load_config

    loaded = load_config(place.home.config)
    ours = loaded.config
    document = {
        "sha256": loaded.sha256,
        "organisation": ours.organisation.id,
        "mode": ours.mode,
        "profile": ours.profile or "production",
    }
    return Answer(document, [f"{name} {value}" for name, value in document.items()])
