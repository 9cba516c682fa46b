"""Configuration: TOML, decoded strictly; an unknown or missing member is an error that names it.

No ``profile = "demo"`` means production, which refuses every demo certificate, officer key and agreement.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Literal

import msgspec

from gateway.errors import ConfigInvalid
from gateway.flow.change import digest
from gateway.model.message import Mode

# What msgspec says; a place is a path of members of the schema, with `...` where the key is input.
_MISSING = re.compile(r"Object missing required field `([^`]*)`")
_UNKNOWN = "Object contains unknown field "
_PLACE = re.compile(r" - at (?:`key` in )?`(\$[^`]*)`\Z")


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
    batch_bytes: int = 8 * 1024 * 1024  # bytes of payload a POST
    backoff_first_s: float = 1.0  # first retry after this
    backoff_most_s: float = 300.0  # and never later than this
    connect_timeout_s: float = 10.0
    answer_timeout_s: float = 60.0


class Inbound(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a partner may make us read and keep."""

    connections: int = 200  # before the handshake, all sources together: 300 KB each (T8)
    batch_bytes: int = 16 * 1024 * 1024  # one POST
    quarantine_items: int = 1000  # a partner's share; above it only digest and count are kept


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One home's configuration: how it runs. What may leave is decided by documents that two persons approved."""

    organisation: Organisation
    partner_listener: Listener
    operations_listener: Listener
    mode: Mode = "operational"
    profile: Literal["", "demo"] = ""
    language: str = "fr"
    intake_ttl_days: int = 7  # an imported record not tied to a release is purged after this (house rule)
    delivery: Delivery = Delivery()
    inbound: Inbound = Inbound()


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
