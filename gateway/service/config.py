"""Configuration: TOML, decoded strictly; an unknown or missing member is an error that names it.

No ``profile = "demo"`` means production, which refuses every demo certificate, officer key and agreement.
"""

from __future__ import annotations

import re
import tomllib
import zoneinfo
from pathlib import Path
from typing import Annotated, Literal

import msgspec

from gateway.errors import ConfigInvalid
from gateway.flow.change import digest
from gateway.model.message import Mode

# What msgspec says; a place is a path of members of the schema, with `...` where the key is input.
_MISSING = re.compile(r"Object missing required field `([^`]*)`")
_UNKNOWN = "Object contains unknown field "
# An object identifier as X.660 allows it: below 0 and 1 there are forty arcs.
_ARC = r"(?:0|[1-9][0-9]{0,9})"
_DOTTED = re.compile(rf"(?:[01]\.[1-3]?[0-9]|2\.{_ARC})(?:\.{_ARC}){{1,20}}")
_PLACE = re.compile(r" - at (?:`key` in )?`(\$[^`]*)`\Z")

Count = Annotated[int, msgspec.Meta(ge=1)]
Seconds = Annotated[float, msgspec.Meta(gt=0)]
Duration = Annotated[float, msgspec.Meta(ge=0)]  # seconds, where none at all is a choice


class Organisation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who this home is."""

    id: str  # alpha-3, dot, slug
    nation: str  # ISO 3166 alpha-3
    name: str


class Listener(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where to listen; port 0 takes a free one and writes it to ``<home>/listeners.json``."""

    host: str
    port: int


class Delivery(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How messages leave."""

    batch_messages: int = 64  # messages a POST: one receipt covers them
    batch_bytes: int = 8 * 1024 * 1024  # bytes of sealed messages a POST; one message may be larger
    backoff_first_s: float = 1.0  # first retry after this
    backoff_most_s: float = 300.0  # and never later than this
    connect_timeout_s: float = 10.0
    answer_timeout_s: float = 60.0


class Inbound(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a stranger may hold, and what a partner may make us read and keep. No limit is switched off by a zero."""

    # places, before the handshake: an open TLS connection costs some 300 KB
    connections: Count = 240  # all sources together: 72 MB
    connections_per_source: Count = 100  # one address, or one IPv6 /64: more than half stays free
    connections_per_partner: Count = 100  # one organisation, from whatever address
    connections_reserved: Count = 40  # for partners that have none yet: two at their share leave these
    # time
    handshake_s: Seconds = 5.0  # an honest one takes two round trips
    idle_s: Seconds = 10.0  # from one answer, taken or not, until the next request's headers are complete
    body_stall_s: Seconds = 5.0  # until the next piece of a body
    body_total_s: Seconds = 60.0  # a whole body
    body_bytes_s: Count = 16 * 1024  # least rate, over the whole body so far: a 128 kbit/s line
    # size
    header_bytes: Count = 8190  # of the request line, and of each header
    headers: Count = 64  # our own client sends seven
    batch_bytes: Count = 16 * 1024 * 1024  # one POST
    reading_bytes: Count = 128 * 1024 * 1024  # bodies being read and handled at one time, all partners
    reading_bytes_per_partner: Count = 32 * 1024 * 1024  # of which one partner: two full batches
    # a partner's allowance: what it has not used grows back evenly, up to one window's worth
    window_s: Seconds = 60.0
    window_bytes: Count = 1024 * 1024 * 1024  # of bodies: 17 MB/s all day long
    window_messages: Count = 120_000  # and questions: 2,000/s, four times what this gateway handles
    quarantine_items: Count = 1000  # a partner's share; above it only digest and count are kept

    def __post_init__(self) -> None:
        """An allowance that no batch fits would refuse for ever what it tells a partner to send again; and two partners
        together must never hold what is reserved for others."""
        if self.batch_bytes > min(self.reading_bytes, self.reading_bytes_per_partner, self.window_bytes):
            raise ValueError("one batch is larger than an allowance")
        if 2 * self.connections_per_partner + self.connections_reserved > self.connections:
            raise ValueError("two partners could hold every place")


class Revocation(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How old a word on revocation may be. Beyond its grace the issuer, or the partner, is blocked; no other is."""

    crl_grace_s: Duration = 86400.0  # after nextUpdate: a working day to fetch a list by hand; 0 gives none
    ocsp_every_s: Seconds = 120.0  # one question for each certificate, whether or not messages flow
    ocsp_grace_s: Duration = 3600.0  # after nextUpdate: a responder's restart; 0 gives none
    #: Organisation to responder URL. Never taken from a certificate: whoever made it would choose whom we call.
    responders: dict[str, str] = {}

    def __post_init__(self) -> None:
        """An answer is signed, so plain HTTP will do (RFC 6960 appendix A)."""
        for url in self.responders.values():
            if not url.startswith(("http://", "https://")):
                raise ValueError("a responder is an http or https URL")


class Witnessing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Cosignatures of our heads by partners that have keys for it. A partner that stops blocks itself, and no other."""

    every_s: Count = 60  # between two rounds, whether or not messages flow
    unwitnessed_s: Count = 604_800  # a week; a head uncosigned for longer holds its partner's lanes


class Timestamping(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Time-stamps over the newest heads of all our logs. Whom we believe is in ``<home>/tls/timestamps.pem``."""

    url: str = ""  # of an RFC 3161 authority; empty: none is asked
    policy: str = ""  # under which it must stamp, dotted
    every_s: Count = 3600  # between two requests, whether or not messages flow
    #: A day: a working day to reach the authority, or another one. Beyond it the lanes of each partner wait whose log
    #: has a head that nobody outside has seen: no time-stamp, and no cosignature of the partner.
    unanchored_s: Count = 86_400
    renew_days: Count = (
        90  # before a certificate under the newest time-stamp ends, a later one is fetched and kept
    )

    def __post_init__(self) -> None:
        """A response is signed, so plain HTTP will do (RFC 3161 §3.4); an authority chooses no policy for us."""
        if self.url and not self.url.startswith(("http://", "https://")):
            raise ValueError("an authority is an http or https URL")
        if self.url and not _DOTTED.fullmatch(self.policy):
            raise ValueError("a policy is an object identifier")
        if self.unanchored_s < 2 * self.every_s:
            raise ValueError("one response that is lost would stop the exchange")


AdapterGroup = Literal["ecluse.record_adapters", "ecluse.formats", "ecluse.partner_transports"]


class PinnedAdapter(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One adapter of another distribution, as `ecluse adapter digest` measured it. Nothing else is ever loaded."""

    group: AdapterGroup
    name: str  # of the entry point
    distribution: str
    version: str
    digest: Annotated[
        str, msgspec.Meta(pattern=r"\A[0-9a-f]{64}\Z")
    ]  # `gateway.service.plugins` says over what


#: Seconds of a day: slots that divide it lie at the same times every day.
_DAY_S = 86_400


class AnswerSlots(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When what officers answer to a request leaves: at whole multiples of these since midnight UTC, so that the time
    says nothing about how long anybody looked. Shorter slots say more."""

    urgent_s: Count = 900  # both urgent classes: a 32nd of the shortest clock
    normal_s: Count = 3600

    def __post_init__(self) -> None:
        """A slot that does not divide the day would fall on other times each day."""
        if _DAY_S % self.urgent_s or _DAY_S % self.normal_s:
            raise ValueError("a slot divides the day")


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One home's configuration: how it runs. What may leave is decided by documents that two persons approved."""

    organisation: Organisation
    partner_listener: Listener
    operations_listener: Listener
    mode: Mode = "operational"
    profile: Literal["", "demo"] = ""
    language: str = "fr"
    zone: str = "Europe/Brussels"  # in which calendar days of a request's clock are counted
    intake_ttl_days: int = 7  # an imported record not tied to a release is purged after this (house rule)
    delivery: Delivery = Delivery()
    answers: AnswerSlots = AnswerSlots()
    inbound: Inbound = Inbound()
    revocation: Revocation = Revocation()
    witnessing: Witnessing = Witnessing()
    timestamping: Timestamping = Timestamping()
    adapters: tuple[PinnedAdapter, ...] = ()

    def __post_init__(self) -> None:
        """A zone that this machine does not know has no calendar days."""
        try:
            zoneinfo.ZoneInfo(self.zone)
        except (ValueError, zoneinfo.ZoneInfoNotFoundError, OSError):
            raise ValueError("the time zone is not known here") from None


class LoadedConfig(msgspec.Struct, frozen=True):
    """Configuration and the digest of its exact bytes, which the master log records."""

    config: Config
    sha256: str


def load_config(path: Path) -> LoadedConfig:
    """Read and check the configuration. Raises `ConfigInvalid` naming the member and the rule, never a value."""
    try:
        raw = path.read_bytes()
    except OSError:
        raise ConfigInvalid("the configuration file cannot be read") from None
    return read_config(raw)


def read_config(raw: bytes) -> LoadedConfig:
    """Check the bytes of a configuration; raises as `load_config` does."""
    try:
        config = msgspec.convert(tomllib.loads(raw.decode()), Config, strict=True)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):
        raise ConfigInvalid("the configuration is not valid TOML") from None
    except msgspec.ValidationError as error:
        raise ConfigInvalid(f"the configuration breaks its schema: {member_at_fault(error)}") from None
    return LoadedConfig(config, digest(raw))


def member_at_fault(error: msgspec.ValidationError) -> str:
    """Where a document breaks its schema, as "`nation` is missing in `$.organisation`".

    A missing member has its name from our schema; an unknown member's name is input, and is not told.
    """
    where = _PLACE.search(str(error))
    place = where[1] if where else "$"
    if missing := _MISSING.match(str(error)):
        return f"`{missing[1]}` is missing in `{place}`"
    if str(error).startswith(_UNKNOWN):
        return f"`{place}` has a member that the schema does not know"
    return f"`{place}` is not of the form that the schema demands"
