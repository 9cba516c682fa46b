"""Logging: JSON lines on standard error, and only fields of an allow-list, so that no content slips in by accident."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any

import structlog


def configure_logging() -> None:
    """JSON lines on standard error, and only fields of the allow-list: no content can slip in by accident."""
    structlog.configure(
        processors=[
            _only_known,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper("iso", utc=True),
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    # What libraries have to say may quote input and tracebacks: their name and the class of the error are enough.
    logging.basicConfig(handlers=[_NamesOnly()], level=logging.WARNING, force=True)


class _NamesOnly(logging.Handler):
    """A library's log record without its message."""

    def emit(self, record: logging.LogRecord) -> None:
        raised = record.exc_info[0] if record.exc_info else None
        structlog.get_logger().warning(
            "library.logged", log=record.name, error=raised.__name__ if raised else record.levelname
        )


#: Fields a log record may carry. Ids are random or public names of organisations; nothing personal is among them.
LOG_FIELDS = frozenset(
    {
        "event",
        "partner",
        "message",
        "release",
        "code",
        "detail",
        "rule",
        "seq",
        "conversation",
        "attempts",
        "messages",
    }
    | {"reason", "error", "log", "index", "signed", "stored", "given", "head", "limit", "status"}
    | {"partner_port", "operations_port", "note", "size", "operation"}
)


def _only_known(_logger: Any, _name: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    return {name: value for name, value in event.items() if name in LOG_FIELDS}
