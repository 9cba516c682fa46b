"""Adapters of other distributions: loaded only when the configuration pins them to the byte, before their first import.

An adapter is code in this process, so the configuration names it by group, entry point, distribution, version and
digest, and what is installed is measured first. Only `app` calls this, for the gateway's own process: the signer, its
guard included, takes no adapter from anywhere.

The digest is SHA-256 over the line ``ecluse/adapter/1`` and then, for each file that the distribution's RECORD lists,
in the order of their paths' UTF-8 bytes, the line ``<lower-case hex SHA-256 of the file>  <path>`` (two spaces; every
line ends with a line feed). Left out are RECORD itself, what installers add (`INSTALLED`), and in ``__pycache__`` the
byte code of files that are measured, which is never executed from there once an adapter is pinned; nothing else may
stand there.

Not measured: what the adapter itself imports from other distributions, whose lock is the deployer's.
"""

from __future__ import annotations

import csv
import hashlib
import os
import re
import sys
from collections.abc import Collection, Container, Iterator, Mapping, Sequence
from importlib.machinery import PathFinder
from importlib.metadata import Distribution, EntryPoint, PackageNotFoundError, distribution, distributions
from pathlib import Path, PurePosixPath
from typing import Any, get_args

import msgspec

from gateway.errors import ConfigInvalid
from gateway.service.config import AdapterGroup, PinnedAdapter
from gateway.service.imports import AdapterFactory

RECORD_ADAPTERS: AdapterGroup = "ecluse.record_adapters"

#: First line of what is hashed: a digest of this form is never one of another.
FORM = b"ecluse/adapter/1\n"

#: Files of the metadata folder that say who installed the distribution and from where, not what it is.
INSTALLED = frozenset({"RECORD", "RECORD.jws", "RECORD.p7s", "INSTALLER", "REQUESTED", "direct_url.json"})

#: Files one distribution may list, and bytes of one of them: an adapter is a file or a few, not a framework.
MAX_FILES, MAX_FILE = 2000, 16 * 1024 * 1024

#: What Python executes when it starts, long before anything could be measured: as module, package or extension.
STARTUP = frozenset({"sitecustomize", "usercustomize"})

#: What an import of ours or of Python's own means: no distribution may stand in its place.
HOUSE = frozenset({"gateway", "adapters", "certs", "schemas"}) | sys.stdlib_module_names

#: Byte code as CPython writes it beside its source (PEP 3147, PEP 488).
BYTECODE = re.compile(r"([^./]+)\.cpython-[0-9]{2,4}(?:\.opt-[12])?\.pyc")

#: Where Python looks for byte code from then on: below no folder, so it finds none and writes none.
NO_BYTECODE = os.devnull


class Measured(msgspec.Struct, frozen=True):
    """A distribution as it is installed here. ``paths`` are the files its digest covers, absolute."""

    distribution: str
    version: str
    digest: str
    paths: tuple[str, ...]
    entry_points: tuple[tuple[str, str], ...]  # (group, name), of the groups that an adapter may be in


def measure(name: str) -> Measured:
    """Measure an installed distribution without importing any of it.

    (1) it is installed, with a RECORD; (2) RECORD lists plain files inside the import folder and nothing that Python
    executes when it starts; (3) none goes by the first name of what is ours, Python's or another distribution's; (4)
    the folders it fills hold nothing that RECORD does not list: an unlisted file can stand before a listed one when a
    name is looked up; (5) hash. Raises `ConfigInvalid` naming distribution and rule.
    """
    return _measured(_installed(name), name)


def load_adapters(
    pins: Sequence[PinnedAdapter], *, wired: Collection[AdapterGroup]
) -> dict[AdapterGroup, dict[str, Any]]:
    """What the pinned entry points hold, by group and name. Raises `ConfigInvalid` naming distribution and rule.

    For each pin, before any of it is imported: (1) the caller uses adapters of its group (code that nobody asked for is
    not loaded), and no entry point is pinned twice; (2) what is installed is the version and has the digest that the
    pin names (`measure`); (3) the distribution has this entry point, once; (4) its module would come from a measured
    file, not from another of that name. Then, for all of them: (5) byte code left on the disk is out of use in this
    process; (6) import.
    """
    found: dict[AdapterGroup, dict[str, Any]] = {}
    checked: list[tuple[PinnedAdapter, EntryPoint]] = []
    # (1)
    if len({(pin.group, pin.name) for pin in pins}) != len(pins):
        raise ConfigInvalid("an adapter is pinned twice")
    for pin in pins:
        if pin.group not in wired:
            raise _refused(pin.distribution, "group")
        # (2)
        installed = _installed(pin.distribution)
        measured = _measured(installed, pin.distribution)
        if measured.version != pin.version:
            raise _refused(pin.distribution, "version")
        if measured.digest != pin.digest:
            raise _refused(pin.distribution, "digest")
        # (3)
        entries = installed.entry_points.select(group=pin.group, name=pin.name)
        if len(entries) != 1:
            raise _refused(pin.distribution, "entry-point")
        (entry,) = entries
        # (4)
        _require_own_module(entry, measured)
        checked.append((pin, entry))
    # (5)
    if checked:
        sys.pycache_prefix, sys.dont_write_bytecode = NO_BYTECODE, True
    # (6)
    for pin, entry in checked:
        try:
            found.setdefault(pin.group, {})[pin.name] = entry.load()
        except Exception:  # the adapter's own code runs here; what it raises may quote anything
            raise _refused(pin.distribution, "import") from None
    return found


def record_adapters(
    loaded: Mapping[AdapterGroup, Mapping[str, Any]], kinds: Container[str]
) -> dict[str, AdapterFactory]:
    """The pinned readers of records, by the kind each one reads; one takes the place of the shipped reader of its kind.

    Raises `ConfigInvalid` for one that reads no kind known here, and for two of one kind.
    """
    found: dict[str, AdapterFactory] = {}
    for name, factory in loaded.get(RECORD_ADAPTERS, {}).items():
        kind = getattr(factory, "kind", None)
        if not callable(factory) or not isinstance(kind, str) or kind not in kinds or kind in found:
            raise ConfigInvalid(
                "a pinned record adapter reads no kind of its own that this gateway knows",
                diagnostic={"adapter": name},
            )
        found[kind] = factory
    return found


def _installed(name: str) -> Distribution:
    # (1)
    try:
        return distribution(name)
    except (PackageNotFoundError, ValueError):
        raise _refused(name, "installed") from None


def _measured(installed: Distribution, name: str) -> Measured:
    root = Path(str(installed.locate_file(""))).resolve()
    # (1)
    record = installed.read_text("RECORD")
    if not record:
        raise _refused(name, "record")
    # (2)
    listed = _paths(record)
    if len(listed) > MAX_FILES:
        raise _refused(name, "size")
    covered = {
        path: _plain(root, path, name)
        for path in sorted(listed, key=str.encode)
        if not _left_out(path, listed)
    }
    # (3)
    if not {_first_name(path) for path in covered}.isdisjoint(HOUSE | _taken(record)):
        raise _refused(name, "name")
    # (4)
    unlisted = set(_standing(root, covered)) - set(covered.values())
    if unlisted:
        raise _refused(name, "unlisted")
    # (5)
    whole = hashlib.sha256(FORM)
    for path, file in covered.items():
        whole.update(f"{_sha256(file, name)}  {path}\n".encode())
    groups = get_args(AdapterGroup)
    entries = sorted((one.group, one.name) for one in installed.entry_points if one.group in groups)
    return Measured(
        name, installed.version, whole.hexdigest(), tuple(map(str, covered.values())), tuple(entries)
    )


def _paths(record: str) -> set[str]:
    return {row[0] for row in csv.reader(record.splitlines()) if row}


def _first_name(path: str) -> str:
    """The outermost name that an import of this file begins with; of metadata, its folder."""
    first = path.partition("/")[0]
    return first if first.endswith(".dist-info") else first.partition(".")[0]


def _taken(record: str) -> set[str]:
    """First names of every other installed distribution, known by another RECORD than this one."""
    found = (other.read_text("RECORD") or "" for other in distributions())
    return {_first_name(path) for one in found if one != record for path in _paths(one)}


def _left_out(path: str, listed: Container[str]) -> bool:
    """An installer's note, or byte code of a file that is listed."""
    pure = PurePosixPath(path)
    if len(pure.parts) == 2 and pure.parts[0].endswith(".dist-info") and pure.parts[1] in INSTALLED:
        return True
    code = BYTECODE.fullmatch(pure.name)
    source = str(pure.parent.parent / f"{code[1]}.py") if code else ""
    return pure.parent.name == "__pycache__" and source in listed


def _plain(root: Path, path: str, name: str) -> Path:
    """The file, which is itself and not a link to another, inside the import folder."""
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts or str(pure) != path:
        raise _refused(name, "outside")
    if _first_name(path).casefold() in STARTUP or (len(pure.parts) == 1 and pure.suffix == ".pth"):
        raise _refused(name, "start-up")
    if "__pycache__" in pure.parts:
        raise _refused(name, "byte-code")
    file = root / path
    if file.resolve() != file or not file.is_file():
        raise _refused(name, "missing")
    return file


def _standing(root: Path, covered: dict[str, Path]) -> Iterator[Path]:
    """Every file in the folders that the distribution fills, but installers' notes and byte code of what it covers."""
    for top in {path.partition("/")[0] for path in covered if "/" in path}:
        for folder, folders, files in os.walk(root / top):
            here = Path(folder)
            below = here.relative_to(root).as_posix()
            yield from (here / one for one in files if not _left_out(f"{below}/{one}", covered))
            yield from (here / one for one in folders if (here / one).is_symlink())


def _sha256(file: Path, name: str) -> str:
    try:
        with file.open("rb") as opened:
            raw = opened.read(MAX_FILE + 1)
    except OSError:
        raise _refused(name, "missing") from None
    if len(raw) > MAX_FILE:
        raise _refused(name, "size")
    return hashlib.sha256(raw).hexdigest()


def _require_own_module(entry: EntryPoint, measured: Measured) -> None:
    """The module's outermost package is found in the measured files, and is not one that is loaded from elsewhere.

    Its own folder then holds nothing else, so what is below it is measured too.
    """
    top = entry.module.partition(".")[0]
    spec = getattr(sys.modules[top], "__spec__", None) if top in sys.modules else PathFinder.find_spec(top)
    if spec is None or spec.origin is None or str(Path(spec.origin).resolve()) not in measured.paths:
        raise _refused(measured.distribution, "module")


def _refused(name: str, rule: str) -> ConfigInvalid:
    return ConfigInvalid(
        "an adapter's distribution is not the one that the configuration pins",
        diagnostic={"distribution": name, "rule": rule},
    )
