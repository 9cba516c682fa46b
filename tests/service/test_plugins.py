"""Adapters of other distributions: nothing of one runs unless all of it is what the configuration pins."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest

from gateway.cli import main, staging
from gateway.errors import ConfigInvalid, RecordInvalid
from gateway.service.config import AdapterGroup, PinnedAdapter, read_config
from gateway.service.plugins import load_adapters, measure, record_adapters
from tests.service.distributions import ENTRY_POINTS, FILES, Distribution

GROUPS: tuple[AdapterGroup, ...] = get_args(AdapterGroup)
NAMES: dict[AdapterGroup, str] = dict(zip(GROUPS, ("reader", "format", "transport"), strict=True))


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Distribution]:
    """A distribution on the import path, of which nothing is imported yet; all is as before when the test ends."""
    monkeypatch.setattr(sys, "pycache_prefix", None)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    root = tmp_path / "site"
    root.mkdir()
    made = Distribution(root).install(FILES)
    monkeypatch.syspath_prepend(str(root))
    yield made
    for name in [name for name in sys.modules if name.partition(".")[0] in ("zz_adapter", "zz_other")]:
        del sys.modules[name]
    importlib.invalidate_caches()


def pin(group: AdapterGroup = GROUPS[0], **changes: Any) -> PinnedAdapter:
    """The honest pin of what is installed now."""
    measured = measure("zz-adapter")
    honest = PinnedAdapter(group, NAMES[group], "zz-adapter", measured.version, measured.digest)
    return msgspec.structs.replace(honest, **changes)


def load(*pins: PinnedAdapter) -> dict[AdapterGroup, dict[str, Any]]:
    return load_adapters(pins, wired=GROUPS)


def loaded() -> bool:
    return any(name.partition(".")[0] == "zz_adapter" for name in sys.modules)


def test_the_digest_is_what_the_document_says(installed: Distribution) -> None:
    """Computed here once more from its description, by another road: the lines that `sha256sum` prints, in order."""
    paths = [*FILES, *(f"{installed.info.name}/{name}" for name in ("METADATA", "WHEEL", "entry_points.txt"))]
    lines = "".join(
        f"{hashlib.sha256((installed.root / path).read_bytes()).hexdigest()}  {path}\n"
        for path in sorted(paths)
    )
    measured = measure("zz-adapter")
    assert measured.digest == hashlib.sha256(f"ecluse/adapter/1\n{lines}".encode()).hexdigest()
    assert measured.version == "1.0"
    assert measured.entry_points == tuple(sorted(NAMES.items()))
    assert not loaded()


@pytest.mark.parametrize("note", ["INSTALLER", "REQUESTED", "direct_url.json"])
def test_who_installed_it_is_not_measured(installed: Distribution, note: str) -> None:
    """What an installer notes about itself, and byte code it made, differ from machine to machine and count for
    nothing."""
    before = measure("zz-adapter").digest
    (installed.info / note).write_text("another installer\n")
    cache = installed.root / "zz_adapter" / "__pycache__"
    cache.mkdir()
    (cache / "reader.cpython-311.pyc").write_bytes(b"byte code")
    installed.listed(f"{installed.info.name}/{note},,", "zz_adapter/__pycache__/reader.cpython-311.pyc,,")
    assert measure("zz-adapter").digest == before


def test_all_groups_are_loaded(installed: Distribution) -> None:
    """Pinned truly, each entry point is loaded and is what it names; the reader reads."""
    found = load(*(pin(group) for group in GROUPS))
    assert (found["ecluse.formats"], found["ecluse.partner_transports"]) == (
        {"format": "a format"},
        {"transport": "a transport"},
    )
    (line,) = record_adapters(found, {"bdc-person/1.0"})["bdc-person/1.0"]("bel.ocam", "be-one").read(b"")
    assert isinstance(line, RecordInvalid)


def test_without_a_pin_nothing_is_loaded(installed: Distribution) -> None:
    """Installed is not enough."""
    assert load() == {}
    assert not loaded()


def rewritten(path: str, text: str) -> Callable[[Distribution], None]:
    def tamper(made: Distribution) -> None:
        target = made.root / path.replace("INFO", made.info.name)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)

    return tamper


def linked(made: Distribution) -> None:
    target = made.root / "zz_adapter" / "reader.py"
    elsewhere = made.root.parent / "elsewhere.py"
    elsewhere.write_bytes(target.read_bytes())
    target.unlink()
    target.symlink_to(elsewhere)


def folder_linked(made: Distribution) -> None:
    elsewhere = made.root.parent / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "__init__.py").write_text("")
    (made.root / "zz_adapter" / "more").symlink_to(elsewhere)


def cache_linked(made: Distribution) -> None:
    elsewhere = made.root.parent / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "helper.py").write_text("")
    (made.root / "zz_adapter" / "__pycache__").symlink_to(elsewhere)


def another_s(made: Distribution) -> None:
    """It lists a file of a second distribution in the same folder."""
    second = Distribution(made.root, name="zz-other").install({"zz_other.py": ""})
    made.listed(f"{second.info.name}/entry_points.txt,,")


def listing(path: str, text: str = "") -> Callable[[Distribution], None]:
    def tamper(made: Distribution) -> None:
        rewritten(path, text)(made)
        made.listed(f"{path},,")

    return tamper


def renamed(made: Distribution) -> None:
    made.info.rename(made.root / "gone")


def shadowed(made: Distribution) -> None:
    """Another folder, earlier on the path, with a package of that name."""
    other = made.root.parent / "earlier"
    (other / "zz_adapter").mkdir(parents=True)
    for path in FILES:
        (other / path).write_text("raise SystemExit('shadow')\n")
    sys.path.insert(0, str(other))
    importlib.invalidate_caches()


#: What is done after the pin was made, and the rule that refuses it.
TAMPERED: dict[str, tuple[str, Callable[[Distribution], None]]] = {
    "one sign of the code": ("digest", rewritten("zz_adapter/reader.py", FILES["zz_adapter/reader.py"] + "#\n")),
    "the entry points": ("digest", rewritten("INFO/entry_points.txt", ENTRY_POINTS + "\n")),
    "a file more, listed": ("digest", listing("zz_adapter/more.py")),
    "a file more, unlisted": ("unlisted", rewritten("zz_adapter/more.py", "")),
    "a package before a module": ("unlisted", rewritten("zz_adapter/reader/__init__.py", "")),
    "an extension before a module": ("unlisted", rewritten("zz_adapter/reader.cpython-311-x86_64-linux-gnu.so", "")),
    "byte code without a source": ("unlisted", rewritten("zz_adapter/more.pyc", "")),
    "a note of the installer that is code": ("unlisted", rewritten("zz_adapter/INSTALLER.py", "")),
    "a file less": ("missing", lambda made: (made.root / "zz_adapter" / "reader.py").unlink()),
    "a link for a file": ("missing", linked),
    "a link to a folder": ("unlisted", folder_linked),
    "no RECORD": ("record", lambda made: (made.info / "RECORD").unlink()),
    "an empty RECORD": ("record", rewritten("INFO/RECORD", "")),
    "a RECORD without the code": ("unlisted", lambda made: made.record("zz_adapter/__init__.py")),
    "a file outside": ("outside", listing("../outside.py")),
    "an absolute path": ("outside", lambda made: made.listed("/etc/hostname,,")),
    "a path spelled twice": ("outside", lambda made: made.listed("zz_adapter/./reader.py,,")),
    "a .pth file": ("start-up", listing("zz_adapter.pth", "import zz_adapter")),
    "a sitecustomize": ("start-up", listing("sitecustomize.py")),
    "a sitecustomize as a package": ("start-up", listing("sitecustomize/__init__.py")),
    "a sitecustomize below": ("start-up", listing("sitecustomize/deep/more.py")),
    "a usercustomize as an extension": ("start-up", listing("usercustomize.cpython-311-x86_64-linux-gnu.so")),
    "a sitecustomize as byte code": ("start-up", listing("SiteCustomize.pyc")),
    "code in __pycache__": ("unlisted", rewritten("zz_adapter/__pycache__/helper.py", "")),
    "code in __pycache__, listed": ("byte-code", listing("zz_adapter/__pycache__/helper.py")),
    "a package in __pycache__": ("unlisted", rewritten("zz_adapter/__pycache__/more/__init__.py", "")),
    "byte code of no source": ("unlisted", rewritten("zz_adapter/__pycache__/helper.cpython-311.pyc", "")),
    "byte code too deep": ("unlisted", rewritten("zz_adapter/__pycache__/more/reader.cpython-311.pyc", "")),
    "byte code that imports find": ("unlisted", rewritten("zz_adapter/__pycache__/reader.pyc", "")),
    "an extension in __pycache__": ("unlisted", rewritten("zz_adapter/__pycache__/reader.cpython-311.so", "")),
    "a link for __pycache__": ("unlisted", cache_linked),
    "a package of ours": ("name", listing("gateway/more.py")),
    "a module of ours": ("name", listing("schemas.py")),
    "a module of Python's": ("name", listing("json.py")),
    "a package of a library": ("name", listing("msgspec/more.py")),
    "an extension before a library": ("name", listing("cryptography.cpython-311-x86_64-linux-gnu.so")),
    "another's metadata": ("name", another_s),
    "no metadata": ("installed", renamed),
    "a package of that name before it": ("module", shadowed),
}  # fmt: skip


@pytest.mark.parametrize("name", TAMPERED)
def test_what_is_not_pinned_never_runs(
    installed: Distribution, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Changed after it was measured: refused naming distribution and rule, and nothing of it was imported."""
    rule, tamper = TAMPERED[name]
    pinned = pin()
    monkeypatch.setattr(sys, "path", list(sys.path))
    tamper(installed)
    importlib.invalidate_caches()
    with pytest.raises(ConfigInvalid) as caught:
        load(pinned)
    assert caught.value.diagnostic == {"distribution": "zz-adapter", "rule": rule}
    assert not loaded()


@pytest.mark.parametrize(
    ("changes", "rule"),
    [
        ({"version": "1.1"}, "version"),
        ({"digest": "0" * 64}, "digest"),
        ({"name": "another"}, "entry-point"),
        ({"distribution": "zz-nobody"}, "installed"),
        ({"distribution": ""}, "installed"),
    ],
)
def test_a_pin_that_names_something_else(installed: Distribution, changes: dict[str, Any], rule: str) -> None:
    """Each member of a pin is compared."""
    with pytest.raises(ConfigInvalid) as caught:
        load(pin(**changes))
    assert caught.value.diagnostic["rule"] == rule
    assert not loaded()


def test_one_bad_pin_keeps_all_out(installed: Distribution) -> None:
    """Every pin is checked before the first import."""
    with pytest.raises(ConfigInvalid):
        load(pin(GROUPS[1]), pin(digest="0" * 64))
    assert not loaded()


def test_a_pin_nobody_uses(installed: Distribution) -> None:
    """A group that this version does not use, and one entry point twice: refused, nothing is loaded."""
    with pytest.raises(ConfigInvalid) as caught:
        load_adapters([pin(GROUPS[2])], wired=(GROUPS[0],))
    assert caught.value.diagnostic["rule"] == "group"
    with pytest.raises(ConfigInvalid, match="twice"):
        load(pin(), pin())
    assert not loaded()


def test_an_entry_point_of_another_package(installed: Distribution) -> None:
    """An entry point cannot name code that is not the distribution's own: neither ours nor the library's."""
    for module in ("os:system", "gateway.service.plugins:measure", "msgspec:Struct"):
        installed.install(FILES, entry_points=f"[ecluse.record_adapters]\nreader = {module}\n")
        importlib.invalidate_caches()
        with pytest.raises(ConfigInvalid) as caught:
            load(pin())
        assert caught.value.diagnostic["rule"] == "module", module


def test_what_the_adapter_raises_is_not_told(installed: Distribution) -> None:
    """Code that fails when it is imported is a refusal that quotes nothing of it."""
    installed.install({**FILES, "zz_adapter/reader.py": "raise RuntimeError('zz-canary')\n"})
    importlib.invalidate_caches()
    with pytest.raises(ConfigInvalid) as caught:
        load(pin())
    assert caught.value.diagnostic["rule"] == "import"
    assert caught.value.__cause__ is None
    assert "zz-canary" not in str(caught.value)


def test_byte_code_on_the_disk_is_not_executed(installed: Distribution) -> None:
    """Byte code that claims to be of the measured source and does something else: the source runs, now and later."""
    reader = installed.root / "zz_adapter" / "reader.py"
    evil = importlib.util.cache_from_source(str(reader))
    Path(evil).parent.mkdir()
    code = compile("Reader = 'evil'", str(reader), "exec")
    stat = reader.stat()
    header = importlib.util.MAGIC_NUMBER + bytes(4)
    header += int(stat.st_mtime).to_bytes(4, "little") + stat.st_size.to_bytes(4, "little")
    Path(evil).write_bytes(header + importlib._bootstrap_external.marshal.dumps(code))  # type: ignore[attr-defined]
    assert load(pin())["ecluse.record_adapters"]["reader"] != "evil"
    del sys.modules["zz_adapter.reader"]
    assert importlib.import_module("zz_adapter.reader").Reader != "evil"


class Known:
    kind = "bdc-person/1.0"


class Unknown:
    kind = "bdc-person/9.0"


@pytest.mark.parametrize(
    "found",
    [{"one": Unknown}, {"one": Known, "two": Known}, {"one": Known()}, {"one": 7}, {"one": lambda *_: None}],
    ids=["a kind nobody knows", "two of one kind", "an object", "a number", "no kind"],
)
def test_a_reader_that_cannot_be_used(found: dict[str, Any]) -> None:
    """A record adapter makes readers of a kind that the gateway knows, and is alone in it."""
    with pytest.raises(ConfigInvalid):
        record_adapters({GROUPS[0]: found}, {"bdc-person/1.0"})


def test_the_configuration_is_strict() -> None:
    """A pin with a member missing, unknown or malformed is no configuration."""
    head = staging.CONFIG.format(
        org="bel.ocam", nation="BEL", title="Zz", ports=staging.Ports(partner=1, operations=2)
    )
    good = {
        "group": "ecluse.formats",
        "name": "x",
        "distribution": "zz",
        "version": "1",
        "digest": "0" * 64,
    }

    def text(pinned: dict[str, str]) -> bytes:
        return (head + "[[adapters]]\n" + "".join(f'{k} = "{v}"\n' for k, v in pinned.items())).encode()

    assert len(read_config(text(good)).config.adapters) == 1
    wrong = [{**good, "group": "ecluse.signers"}, {**good, "digest": "0" * 63}, {**good, "path": "/x"}]
    wrong += [{k: v for k, v in good.items() if k != member} for member in good]
    for pinned in wrong:
        with pytest.raises(ConfigInvalid):
            read_config(text(pinned))


def test_the_command_prints_the_pin(installed: Distribution, capsys: pytest.CaptureFixture[str]) -> None:
    """`adapter digest` prints exactly what the configuration takes, imports nothing, and says why it cannot."""
    assert main(["adapter", "digest", "zz-adapter"]) == 0
    printed = capsys.readouterr().out
    head = staging.CONFIG.format(
        org="bel.ocam", nation="BEL", title="Zz", ports=staging.Ports(partner=1, operations=2)
    )
    pins = read_config((head + printed.partition("\n")[2]).encode()).config.adapters
    assert {one.group: one for one in pins} == {group: pin(group) for group in GROUPS}
    assert main(["adapter", "digest", "zz-nobody", "--json"]) == 2
    refused = json.loads(capsys.readouterr().out)["error"]["diagnostic"]
    assert refused == {"distribution": "zz-nobody", "rule": "installed"}
    assert not loaded()
