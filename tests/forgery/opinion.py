"""A second opinion on a vector: what a library without our strict reader says of the same object and key."""

from __future__ import annotations

import json
from typing import Any

from jwcrypto import jwe, jwk, jws
from jwcrypto.common import JWException

from tests.forgery.vectors import Vector

#: Algorithms of our policy that the library knows.
KNOWN_JWS, KNOWN_JWE = ["ES256"], ["ECDH-ES", "A256GCM"]


def opinion(vector: Vector) -> bool | None:
    """Whether the library accepts it under our choice of algorithms; None where it knows the algorithm of the key not
    at all (ML-DSA)."""
    if vector.key.get("kty") == "AKP":
        return None
    try:
        key = jwk.JWK(**vector.key)
        if vector.jwe is not None:
            sealed = jwe.JWE(algs=KNOWN_JWE)
            sealed.deserialize(vector.jwe, key)
        else:
            _verify(vector, key)
    except (JWException, ValueError, TypeError, AttributeError, KeyError):  # it does not promise one family
        return False
    return True


def _verify(vector: Vector, key: Any) -> None:
    token = jws.JWS()
    token.allowed_algs = KNOWN_JWS
    text = vector.jws if isinstance(vector.jws, str) else json.dumps(vector.jws)
    carried = ".." not in text and (isinstance(vector.jws, str) or "payload" in (vector.jws or {}))
    token.deserialize(text)
    token.verify(key, detached_payload=None if carried else vector.payload)
