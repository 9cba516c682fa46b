"""What an answer shows beside its ids: status, headers, length, and what its receipt says of the one message."""

from __future__ import annotations

import base64
import json
import re

from tests.siege.target import Answer

#: Changes from one answer to the next, whatever was asked: the instant, and the digits of our log's size in a receipt.
_MOVING = re.compile(rb"^(Date|Content-Length): [^\r]*\r\n", re.MULTILINE)


def shape(answer: Answer) -> str:
    """Equal for two answers that differ in ids, digests, instants, signatures and the size of our log alone."""
    told = [_MOVING.sub(b"", answer.head).decode("ascii").strip()]
    if answer.status != 200:
        return "\n".join([*told, f"{len(answer.body)} bytes"])
    header, statement, signature = answer.body.decode().split(".")
    read = json.loads(base64.urlsafe_b64decode(statement + "=="))
    read.pop("checkpoint", "")  # the head of our log, once one is signed: by the clock, whatever was asked
    told += [f"{len(header)} and {len(signature)} characters around {len(json.dumps(read))}"]
    told += [f"{item['outcome']}: {', '.join(sorted(item))}" for item in read["items"]]
    return "\n".join([*told, ", ".join(sorted(read))])
