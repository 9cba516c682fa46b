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
    named,
    read_document,
    read_file,
    written,
)
from gateway.errors import Conflict, PartnerFault, RequestInvalid, RoleMissing, SignatureInvalid
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
        from gateway.service.log_source import signer_heads

        signer_heads(place)  # a signer without them refuses to start: say why, with code 4
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
    rounds: Annotated[int, typer.Option("--rounds", help="Interleaved; medians are printed.")] = 5,
    against: Annotated[
        str, typer.Option("--against", help="Decide beside a peer instead: cedarpy (extra `bench`).")
    ] = "",
    cases: Annotated[int, typer.Option("--cases", help="With --against: decided by both.")] = 10_000,
    find: Annotated[
        int, typer.Option("--find", help="Search among so many entries of the index of persons instead.")
    ] = 0,
    json_out: Json = False,
) -> None:
    """Measure two gateways beside the disk and the floor of one message, our decisions beside a peer's, or a search."""

    def run() -> Answer:
        if against:
            from gateway.cli.bench.decisions import measured_against

            return measured_against(against, cases, rounds)
        from gateway.cli.bench import bench as measure
        from gateway.service.app import configure_logging

        configure_logging()
        if find:
            from gateway.cli.bench.find import find_bench

            return find_bench(find)
        return measure(messages, rounds)

    answer(json_out, run)


# --- founding --------------------------------------------------------------------------------------------------------


@local(founding, "new")
def founding_new(
    place: Place,
    org: Annotated[str, typer.Option("--org", help="Organisation id, such as bel.ocam.")],
    nation: Annotated[str, typer.Option("--nation", help="ISO 3166 alpha-3.")],
    name: Annotated[str, typer.Option("--name", help="Name of the organisation.")],
    officers: Annotated[
        list[Path],
        typer.Option("--officer", help="Officer, as `officer key --json-out` writes it; repeatable."),
    ],
    agreement_keys: Annotated[list[Path], typer.Option("--agreement-key", help="Public record; repeatable.")],
    out: Annotated[Path, typer.Option("--out", help="The document, not signed yet.")],
    settings: Annotated[
        Path | None,
        typer.Option("--settings", help="Thresholds as TOML; what is absent denies; sample: docs/samples."),
    ] = None,
    demo: Annotated[bool, typer.Option("--demo", help="A demonstration: production refuses it.")] = False,
) -> Answer:
    """Write the founding document: who the organisation is, its first officers, its offline agreement keys."""
    from gateway.flow.change import Founding, SignedFounding, canonical, digest
    from gateway.model.time import rfc3339
    from gateway.policy.context import Settings
    from gateway.service.app import now
    from gateway.service.provision import read_settings, shipped_policy

    thresholds = Settings()
    if settings is not None:
        with named(settings):
            thresholds = read_settings(settings)
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
            settings=thresholds,
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
    """Sign the founding document, offline: the first signature proposes, the second approves.

    \b
    (1) the signatures it carries hold; (2) the officer is one that it names, a security officer, and another person
    than who signed before; (3) sign; (4) the new signature holds with that officer's key, or nothing is written.
    """
    from gateway.flow.change import (
        ACTS,
        Founding,
        SignedFounding,
        digest,
        read_as,
        require_change_role,
        verify_endorsements,
    )
    from gateway.service.app import now
    from gateway.service.provision import read_officer_key
    from gateway.wire.endorse import sign_change
    from gateway.wire.jws import thumbprint

    if not officer or officer_key is None:
        raise RequestInvalid("name the officer with --as and the key with --officer-key")
    signed = read_document(file, SignedFounding)
    if len(signed.endorsements) == len(ACTS):
        raise Conflict("the document is signed by two officers already")
    # (1)
    officers = {one.id: one for one in read_as(signed.document, Founding, "founding document").officers}
    at = now()
    try:
        before = (
            verify_endorsements(signed.document, signed.endorsements, officers, now=at)
            if signed.endorsements
            else []
        )
    except (PartnerFault, RoleMissing):
        raise Conflict(
            "the signature that the document carries does not hold: write it anew with `ecluse founding new`, "
            "then both officers sign that one",
            diagnostic={"file": str(file)},
        ) from None
    # (2)
    if officer not in officers:
        raise RoleMissing("the founding document names no officer of this id")
    require_change_role(officers[officer])
    if officers[officer].person in {one.person for one in before}:
        raise RoleMissing("this person signed already: the second signature is another's")
    # (3)
    with named(officer_key):
        private = read_officer_key(officer_key)
    act = ACTS[len(signed.endorsements)]
    token = sign_change(
        private,
        thumbprint(private.public_key()),
        officer=officer,
        act=act,
        at=at,
        statement=signed.document,
    )
    # (4)
    endorsements = (*signed.endorsements, token)
    try:
        verify_endorsements(signed.document, endorsements, officers, now=at)
    except SignatureInvalid:
        raise SignatureInvalid(
            "the key is not one that the founding document gives this officer",
            diagnostic={"file": str(officer_key)},
        ) from None
    written(msgspec.structs.replace(signed, endorsements=endorsements), file)
    document = {"sha256": digest(signed.document), "signatures": len(endorsements)}
    return Answer(document, [f"{document['signatures']} of 2 signatures, sha256 {document['sha256']}"])


@local(commands, "init")
def init(
    place: Place,
    founding_file: Annotated[Path, typer.Option("--founding", help="The document two officers signed.")],
    config_file: Annotated[
        Path, typer.Option("--config", help="gateway.toml to start with; sample: docs/samples.")
    ],
    authority: Annotated[Path, typer.Option("--authority", help="Folder of our certificate authority.")],
    hosts: Annotated[list[str], typer.Option("--host", help="Name of our listener; repeatable.")],
) -> Answer:
    """Make a home from a founding document: signer's keys, certificates, trust, database. Whole, or not at all.

    The folder of --home must not exist, or be empty. docs/samples/gateway.toml shows a configuration.
    """
    from gateway.flow.change import SignedFounding
    from gateway.service.app import now
    from gateway.service.config import read_config
    from gateway.service.provision import create_home

    signed = read_document(founding_file, SignedFounding)
    try:
        text = read_file(config_file).decode()
    except UnicodeDecodeError:
        raise RequestInvalid("the file is not UTF-8", diagnostic={"file": str(config_file)}) from None
    with named(config_file):
        read_config(text.encode())
    create_home(place.home, signed, text, authority, host_names=tuple(hosts), now=now())
    return Answer({"home": str(place.home.path)}, [f"home made: {place.home.path}"])


# --- configuration ---------------------------------------------------------------------------------------------------


@local(config, "check")
def check(place: Place) -> Answer:
    """Check gateway.toml; prints its digest, which the log records at every start. Errors name the member.

    docs/samples/gateway.toml shows every member.
    """
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
