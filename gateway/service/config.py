"""Configuration: TOML, decoded strictly; an unknown or missing member is an error that names it.

No ``profile = "demo"`` means production, which refuses every demo certificate, officer key and agreement.
"""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Literal

import msgspec

from gateway.errors import ConfigInvalid
from gateway.flow.change import digest
from gateway.model.message import Mode


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
        config = msgspec.convert(tomllib.loads(raw.decode()), Config, strict=True)
    except OSError:
        raise ConfigInvalid("the configuration file cannot be read") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):
        raise ConfigInvalid("the configuration is not valid TOML") from None
    except msgspec.ValidationError as error:
        where = str(error).rpartition(" - at ")[2] if " - at " in str(error) else "`$`"
        raise ConfigInvalid(f"the configuration breaks its schema at {where}") from None
    return LoadedConfig(config, digest(raw))
