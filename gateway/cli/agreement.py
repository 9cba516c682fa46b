"""`ecluse agreement`: terms written and signed offline, then put in force by two officers."""

import tomllib
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import typer

from gateway.cli.change import propose
from gateway.cli.partner import document_of
from gateway.cli.release import decision_of, denials, require_prepared
from gateway.cli.shared import (
    BYTES_DIFFER,
    DONE,
    NEGATIVE,
    Acting,
    Answer,
    Place,
    acting,
    confirm,
    group,
    leaving,
    local,
    one_line,
    read_document,
    read_file,
    table,
    written,
)
from gateway.cli.shared import (
    show as shown,
)
from gateway.errors import (
    ConfigInvalid,
    Conflict,
    LocalFault,
    MalformedMessage,
    NotFound,
    PartnerFault,
    RequestInvalid,
    RoleMissing,
)
from gateway.model.agreement import AgreementState, AgreementTerms, SignedAgreement
from gateway.model.party import KeyRecord, Partner

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

    from gateway.flow.terms import Fault
    from gateway.model.message import AgreementPart
    from gateway.service.calls import DecisionView

commands = group("Exchange agreements; keys and signatures stay offline.")

AgreementFile = Annotated[Path, typer.Argument(help="A signed, or half signed, agreement.")]
Justification = Annotated[str, typer.Option("--justification", help="Why; stays inside.")]
Org = Annotated[str, typer.Option("--org", help="Organisation that signs.")]


@local(commands, "key")
def key(
    place: Place, out: Annotated[Path, typer.Option("--out", help="Offline folder.")], org: Org
) -> Answer:
    """Make an agreement key: agreement.pem stays offline, agreement.json is its public record."""
    from gateway.service.provision import new_agreement_key

    if not out.is_dir():
        raise RequestInvalid("the folder does not exist", diagnostic={"field": "out"})
    record = new_agreement_key(out / "agreement.pem", org)
    return written(record, out / "agreement.json")


@local(commands, "offer")
def offer(
    place: Place,
    terms: Annotated[Path, typer.Argument(help="Terms as TOML or JSON; sample: docs/samples/terms.toml.")],
    out: Annotated[Path, typer.Option("--out", help="The agreement, not signed yet.")],
) -> Answer:
    """Put terms into the exact bytes that both sides sign. docs/samples/terms.toml shows every member."""
    from gateway.wire.agreement import read_terms
    from gateway.wire.strict import b64url, canonical

    written_down = _terms(terms)
    _require_sound(written_down, terms)
    exact = canonical(written_down)
    try:
        read_terms(exact)
    except MalformedMessage as fault:
        raise RequestInvalid(fault.detail) from None
    return written(SignedAgreement(terms=b64url(exact), signatures={}), out)


@local(commands, "check")
def check(
    place: Place,
    file: Annotated[Path, typer.Argument(help="Terms as TOML or JSON, or an agreement.")],
) -> Answer:
    """Check terms, offline: each fault with its member and the rule it breaks. Exit code 1 when there is one.

    Whether signatures hold is asked when the agreement is added: that takes the partner's entry.
    """
    from gateway.flow.terms import Fault

    try:
        found = _faults(_terms(file))
    except RequestInvalid as fault:
        found = (Fault("", "schema", fault.detail),)
    text: list[Any] = [f"{file}: {len(found)} faults"]
    if found:
        rows = [(fault.field, fault.rule, fault.detail) for fault in found]
        text.append(table(("member", "rule", "what is wrong"), rows))
    document = {"file": str(file), "sound": not found, "faults": found}
    return Answer(document, text, NEGATIVE if found else DONE)


def _terms(file: Path) -> AgreementTerms:
    """The terms of a file: bare ones as TOML or JSON, or those of an agreement. Raises `RequestInvalid`."""
    from gateway.service.config import member_at_fault
    from gateway.wire.strict import b64url_decode

    raw = read_file(file)
    try:
        tree = tomllib.loads(raw.decode()) if file.suffix == ".toml" else msgspec.json.decode(raw)
        if isinstance(tree, dict) and tree.keys() == set(SignedAgreement.__struct_fields__):
            tree = msgspec.json.decode(b64url_decode(msgspec.convert(tree, SignedAgreement).terms))
        return msgspec.convert(tree, AgreementTerms)
    except msgspec.ValidationError as error:
        raise RequestInvalid(
            f"the terms do not follow their schema: {member_at_fault(error)}", diagnostic={"file": str(file)}
        ) from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.DecodeError, MalformedMessage):
        raise RequestInvalid("the terms are neither TOML nor JSON", diagnostic={"file": str(file)}) from None


def _faults(terms: AgreementTerms) -> "tuple[Fault, ...]":
    """Held against the kinds and levels that are shipped: no home is needed."""
    from gateway.flow.terms import faults
    from gateway.policy.levels import default_levels
    from gateway.service.signer_main import kinds

    return faults(terms, kinds(), default_levels())


def _require_sound(terms: AgreementTerms, file: Path) -> None:
    """Nobody signs terms with a fault; the first one is named, `ecluse agreement check` names all."""
    for fault in _faults(terms):
        raise RequestInvalid(
            f"{fault.field}: {fault.detail}",
            diagnostic={"file": str(file), "field": fault.field, "rule": fault.rule},
        )


@local(commands, "sign")
def sign(
    place: Place,
    file: AgreementFile,
    key_file: Annotated[Path, typer.Option("--key", help="The organisation's agreement key.")],
    org: Org,
    record: Annotated[
        Path | None,
        typer.Option(
            "--record", help="The key's public record, or the organisation's entry; default: beside the key."
        ),
    ] = None,
) -> Answer:
    """Add one side's signature to an agreement, offline. A side signs once, and with a key that its public record names
    as its own; with any other nothing is written."""
    from gateway.service.provision import read_officer_key
    from gateway.wire.agreement import read_terms, sign_terms

    signed, raw = _read(file)
    if org not in read_terms(raw).parties:
        raise RequestInvalid("the agreement is between other organisations", diagnostic={"field": "org"})
    if org in signed.signatures:
        raise Conflict("this side has signed already")
    _require_sound(read_terms(raw), file)
    try:
        private = read_officer_key(key_file)
    except ConfigInvalid as fault:
        detail = fault.detail.replace("an officer's key", "an agreement key")
        raise ConfigInvalid(detail, diagnostic={"file": str(key_file)}) from None
    token = sign_terms(raw, private, _record_of(record or key_file.with_suffix(".json"), private, org).kid)
    both = msgspec.structs.replace(signed, signatures={**signed.signatures, org: token})
    written(both, file)
    return Answer(
        {"signed_by": sorted(both.signatures)}, [f"signed by {' and '.join(sorted(both.signatures))}"]
    )


def _record_of(file: Path, private: "EllipticCurvePrivateKey", org: str) -> KeyRecord:
    """The public record of an agreement key, from its own file or an entry. Raises `RequestInvalid` unless it is of
    this key and organisation: who confused two keys would learn it from the other side, of a file that no right
    signature can be added to any more.

    Not checked: that both sides pinned it, which is asked where the agreement is added.
    """
    from gateway.wire.jws import spki

    if not file.is_file():
        raise RequestInvalid(
            "the public record of this key is not there: name it, or the organisation's entry, with --record",
            diagnostic={"file": str(file), "field": "record"},
        )
    try:
        records: tuple[KeyRecord, ...] = (read_document(file, KeyRecord),)
    except RequestInvalid:
        records = read_document(file, Partner).keys_for("agreement")
    public = spki(private.public_key())
    for record in records:
        if record.public == public and record.kid.startswith(f"{org}/"):
            return record
    raise RequestInvalid(f"this is no agreement key of {org}", diagnostic={"field": "key"})


@acting(commands, "add")
async def add(on: Acting, file: AgreementFile) -> Answer:
    """Propose an agreement that both sides signed. Signatures are verified here first, with the keys of the directory.

    Exit code 1 when a signature does not hold, 2 when one is missing or the partner is not in the directory.
    """
    signed, _ = _read(file)
    state = _state(on, signed)
    sides = {"this organisation": state.signed_ours, "the partner": state.signed_theirs}
    missing = [side for side, there in sides.items() if not there]
    if missing:
        raise RequestInvalid(
            f"the signature of {' and of '.join(missing)} is missing: `ecluse agreement sign` adds one",
            diagnostic={"file": str(file)},
        )
    return await propose(on, "agreement", state.terms.series, signed)


def _state(on: Acting, signed: SignedAgreement) -> AgreementState:
    """The agreement held against our founding keys and the partner's entry in force; raises as `agreement_state`."""
    from gateway.flow.agreements import agreement_state
    from gateway.flow.change import Founding
    from gateway.service.app import now
    from gateway.wire.agreement import read_terms
    from gateway.wire.strict import b64url_decode

    home, ours = on.place.home, on.desk.org
    founding = msgspec.json.decode(document_of(home, "founding", ours), type=Founding)
    partners = {}
    for org in read_terms(b64url_decode(signed.terms)).parties:
        with suppress(NotFound):
            partners[org] = msgspec.json.decode(document_of(home, "partner", org), type=Partner)
    return agreement_state(signed, ours=ours, our_keys=founding.agreement_keys, partners=partners, now=now())


@acting(commands, "send")
async def send(on: Acting, file: AgreementFile, justification: Justification) -> Answer:
    """Send terms that our agreement key signed to the partner: an offer, or with its signature there the answer to its.

    \b
    (1) the gateway verifies the signatures, decides and freezes the bytes; (2) they must carry exactly these terms and
    our signature, and the statement must name them and you; (3) sign. Another security officer approves it (agreement
    approve). The first agreement with a partner goes on files: a message travels under one in force. Exit code 1 when
    denied.
    """
    from gateway.model.message import AgreementAction, AgreementPart
    from gateway.service.calls import DecisionView
    from gateway.service.calls.agreements import SendAgreement

    signed, _ = _read(file)
    # (1)
    params = SendAgreement(signed, justification)
    view: DecisionView = await on.desk.call("agreements/send", params, DecisionView, once=True)
    ours = signed.signatures.get(on.desk.org, "")
    action: AgreementAction = "signed" if len(signed.signatures) > 1 else "offered"
    return await _signed(
        on, view, AgreementPart(action, signed.terms, ours) if view.effect == "PERMIT" else None, action
    )


async def _signed(on: Acting, view: "DecisionView", asked: "AgreementPart | None", action: str) -> Answer:
    """The first person's signature, under bytes that say what was asked and nothing else."""
    from gateway.service.calls import Endorsed

    document: dict[str, Any] = {**decision_of(view), "action": action}
    if asked is None:
        return Answer(document | {"state": "denied"}, denials([view]), NEGATIVE)
    require_prepared(view, on.desk.identity.officer)
    if said_by(view.payload, view.partner) != asked:
        raise LocalFault(
            "the bytes shown say something else than asked: nothing was signed", code=BYTES_DIFFER
        )
    endorsed = Endorsed((view.release,), on.desk.endorse("request", [view.statement]))
    done: dict[str, str] = await on.desk.call("agreements/endorse", endorsed, dict[str, str], once=True)
    state = done[view.release]
    text = [f"{view.partner}: {action}, {state} (release {view.release})"]
    if state == "awaiting-approval":
        text.append(f"another security officer approves it: ecluse agreement approve {view.release}")
    return leaving(on, Answer(document | {"state": state}, text))


def said_by(payload: bytes, partner: str) -> "AgreementPart | None":
    """What these bytes say about an agreement with this partner; None for any others."""
    from gateway.wire.ct_json import CtJson

    try:
        said = CtJson().parse(payload)
    except PartnerFault:
        return None
    return said.agreement if said.envelope.recipient == partner else None


@acting(commands, "approve")
async def approve(
    on: Acting,
    release: Annotated[str, typer.Argument(metavar="RELEASE")],
    yes: Annotated[bool, typer.Option("--yes", help="You have read it: do not ask.")] = False,
) -> Answer:
    """Approve terms that are to be sent, after reading them. Takes another person than the one who prepared it."""
    from gateway.flow.change import digest
    from gateway.model.decision import Statement
    from gateway.service.calls import Endorsed, Named, ReleaseView
    from gateway.wire.strict import b64url_decode, read_canonical

    view: ReleaseView = await on.desk.call("agreements/message", Named(release), ReleaseView)
    statement = read_canonical(view.statement, Statement)
    names = (statement.release, statement.message_id, statement.payload_sha256, statement.decision_sha256)
    said = said_by(view.payload, view.partner)
    if names != (view.id, view.message_id, digest(view.payload), digest(view.document)) or said is None:
        raise LocalFault("the statement names other bytes than those shown", code=BYTES_DIFFER)
    if statement.requester == on.desk.identity.officer:
        raise RoleMissing("you prepared this yourself: another person approves it")
    raw = b64url_decode(said.terms)
    line = f"{view.partner}: {said.action}, terms sha256 {digest(raw)}"
    if not (yes and on.place.json_out):
        why = f"justification: {one_line(view.justification)}"
        terms = msgspec.json.format(raw, indent=2).decode()
        shown([f"{line}, asked by {statement.requester}", why, terms], stderr=on.place.json_out)
    if not yes:
        confirm("Send these terms?", read="terms")
    endorsed = Endorsed((release,), on.desk.endorse("approve", [view.statement]))
    done: dict[str, str] = await on.desk.call("agreements/approve", endorsed, dict[str, str], once=True)
    return leaving(on, Answer({"release": release, "state": done[release]}, [f"{line}: {done[release]}"]))


@acting(commands, "offers")
async def offers(
    on: Acting,
    after: Annotated[str, typer.Option("--after", help="Last of the page before.")] = "",
    limit: Annotated[int, typer.Option("--limit", min=1, max=500)] = 100,
) -> Answer:
    """List terms that travelled. Received ones wait: nothing of them is in force before two persons here add them."""
    from gateway.service.calls import Page
    from gateway.service.calls.agreements import OfferView

    found: list[OfferView] = await on.desk.call("agreements/offers", Page(after, limit), list[OfferView])
    rows = [
        (one.sha256, one.direction, one.partner, one.series, one.version, one.state, one.at, one.waits_for)
        for one in found
    ]
    columns = ("terms sha256", "way", "partner", "series", "version", "state", "since", "our message")
    return Answer({"offers": found}, [table(columns, rows)])


@acting(commands, "fetch")
async def fetch(
    on: Acting,
    sha256: Annotated[
        str, typer.Argument(metavar="SHA256", help="Of the terms, as agreement offers lists it.")
    ],
    out: Annotated[Path, typer.Option("--out", help="The agreement, with each signature that travelled.")],
) -> Answer:
    """Write terms that travelled as a file, to show, check, sign, send back or add."""
    from gateway.service.calls import Named

    signed = await on.desk.call("agreements/offered", Named(sha256), SignedAgreement)
    return written(signed, out)


@acting(commands, "revoke")
async def revoke(
    on: Acting,
    series: Annotated[str, typer.Argument(metavar="SERIES")],
    tell: Annotated[
        bool, typer.Option("--tell", help="Tell the partner: nothing but that message leaves any more.")
    ] = False,
    justification: Annotated[str, typer.Option("--justification", help="Why, with --tell.")] = "",
) -> Answer:
    """Revoke the agreement in force of a series, at once: nothing more leaves under it.

    With --tell one message still does, which revokes it at the partner; revoke again without, once it is delivered, for
    the signer to forget the agreement too.
    """
    if tell:
        return await _told(on, series, justification)
    return await propose(on, "agreement-revoke", series, document_of(on.place.home, "agreement", series))


async def _told(on: Acting, series: str, justification: str) -> Answer:
    from gateway.flow.change import digest
    from gateway.model.message import AgreementPart
    from gateway.service.calls import DecisionView
    from gateway.service.calls.agreements import RevokeAgreement
    from gateway.wire.agreement import read_terms

    signed = msgspec.json.decode(document_of(on.place.home, "agreement", series), type=SignedAgreement)
    raw = _parts(signed)[1]
    partner = next(party for party in read_terms(raw).parties if party != on.desk.org)
    params = RevokeAgreement(partner, justification)
    view: DecisionView = await on.desk.call("agreements/revoke", params, DecisionView, once=True)
    asked = AgreementPart("revoked", terms_sha256=digest(raw)) if view.effect == "PERMIT" else None
    return await _signed(on, view, asked, "revoked")


@local(commands, "show")
def show(
    place: Place,
    what: Annotated[str, typer.Argument(metavar="FILE|SERIES", help="A file, or a series in force.")],
) -> Answer:
    """Show the terms and which sides signed. The signatures are verified when the agreement is added, not here."""
    from gateway.flow.change import digest
    from gateway.wire.agreement import read_terms

    if Path(what).is_file():
        signed, raw = _read(Path(what))
    else:
        signed, raw = _parts(
            msgspec.json.decode(document_of(place.home, "agreement", what), type=SignedAgreement)
        )
    terms = read_terms(raw)
    document = {"sha256": digest(raw), "signed_by": sorted(signed.signatures), "terms": terms}
    text = [
        f"{terms.series} version {terms.version}, terms sha256 {digest(raw)}",
        f"signed by: {', '.join(sorted(signed.signatures)) or 'nobody'}",
        msgspec.json.format(raw, indent=2).decode(),
    ]
    return Answer(document, text)


@acting(commands, "list")
async def list_agreements(on: Acting) -> Answer:
    """List agreements in force."""
    from gateway.service.calls import Page

    found = await on.desk.call("agreements/list", Page(), list[dict[str, Any]])
    rows = [
        (one["partner"], one["terms"]["series"], one["terms"]["version"], one["terms"]["not_before"],
         one["terms"]["not_after"], one["sha256"])
        for one in found
    ]  # fmt: skip
    columns = ("partner", "series", "version", "from", "until", "terms sha256")
    return Answer({"agreements": found}, [table(columns, rows)])


def _read(file: Path) -> tuple[SignedAgreement, bytes]:
    return _parts(read_document(file, SignedAgreement))


def _parts(signed: SignedAgreement) -> tuple[SignedAgreement, bytes]:
    from gateway.wire.strict import b64url_decode

    return signed, b64url_decode(signed.terms)
