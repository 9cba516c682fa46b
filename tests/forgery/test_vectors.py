"""JOSE vectors: the public ones and our own, each with what must be said of it, and a second opinion."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from tests.conftest import REFERENCE
from tests.forgery.forge import b64, dumps
from tests.forgery.mutations import SIGNER, compact, jwe_parts, jwk, vectors
from tests.forgery.opinion import opinion
from tests.forgery.vectors import Vector, judge, main, read

VECTORS = {vector.name: vector for vector in vectors()}


@pytest.mark.parametrize("name", VECTORS)
def test_vector(name: str) -> None:
    """Exactly the expected word: no invalid one is accepted, no valid one within policy refused."""
    assert judge(VECTORS[name]) == VECTORS[name].expect


def test_the_vectors_are_many_and_each_is_one() -> None:
    """At least 200, no name twice, every word of the list among them."""
    made = list(vectors())
    assert len(made) == len(VECTORS) >= 200
    assert len(Counter(vector.expect for vector in made)) == 8


@pytest.mark.parametrize("name", [name for name, vector in VECTORS.items() if vector.expect == "accepted"])
def test_what_we_accept_another_library_accepts(name: str) -> None:
    """A second implementation verifies or decrypts the same object with the same key, where it knows the algorithm."""
    assert opinion(VECTORS[name]) in (True, None)


FILES = sorted((REFERENCE / "jose").glob("*.json"))


@pytest.mark.skipif(not FILES, reason="the public JOSE vectors are not beside the checkout")
def test_public_vectors() -> None:
    """RFC 7520, 7797 and 8037: valid, each of an algorithm outside our policy, each refused for exactly that; and a
    second implementation, told to allow only our algorithms, refuses them too."""
    found = [vector for file in FILES for vector in read(file)]
    assert len(found) >= 16
    assert {judge(vector) for vector in found} == {"refused: algorithm"}
    assert not any(opinion(vector) for vector in found)


@pytest.mark.parametrize("shape", ["one", "list", "vectors", "cookbook"])
def test_the_command_reads_each_shape(shape: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A tester's own file: what is said stands under the vector's name, and an unmet expectation is exit code 1."""
    key = jwk(SIGNER)
    good = {"name": "good", "key": key, "jws": compact(), "expect": "accepted"}
    head = {"alg": "ES256", "crit": ["b64"], "b64": False}
    loose = {
        "key": key,
        "jws": compact(head, b"x y", b64_=False),
        "payload_b64u": b64(b"x y"),
        "expect": "accepted",
    }
    shapes = {
        "one": good,
        "list": [good, loose, good | {"expect": "refused: key"}],
        "vectors": {"vectors": [good, {"key": key, "jwe": ".".join(jwe_parts()), "expect": "refused: key"}]},
        "cookbook": {"input": {"payload": "x", "key": key}, "output": {"compact": compact()}, "expect": "accepted"},
    }  # fmt: skip
    file = tmp_path / "vectors.json"
    file.write_bytes(dumps(shapes[shape]))
    assert main([str(file)]) == (1 if shape == "list" else 0)
    printed = json.loads(capsys.readouterr().out)
    assert len(printed["vectors"]) == {"one": 1, "list": 3, "vectors": 2, "cookbook": 1}[shape]
    assert printed["unmet"] == (["vectors.json#2 good"] if shape == "list" else [])


def test_the_command_says_when_there_is_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    """No vector is not a success."""
    assert main([]) == 1
    assert json.loads(capsys.readouterr().out) == {"vectors": {}, "unmet": []}


def test_an_unknown_shape_is_not_taken_for_a_vector(tmp_path: Path) -> None:
    """A file that holds none fails loudly."""
    file = tmp_path / "x.json"
    file.write_text("{}")
    with pytest.raises(ValueError, match="no known shape"):
        list(read(file))


def test_a_vector_needs_an_object() -> None:
    """A vector without anything to read is malformed, not accepted."""
    assert judge(Vector("nothing", jwk(SIGNER))) == "refused: malformed"
