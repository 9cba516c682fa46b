"""Small distributions as an installer leaves them: a package, its metadata, and a RECORD. Nothing is downloaded."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

READER = """\
from gateway.errors import RecordInvalid


class Reader:
    kind = "bdc-person/1.0"

    def __init__(self, org, officer):
        self.org = org

    def read(self, raw):
        yield RecordInvalid("a synthetic line", pointer="", rule="synthetic", line=1)
"""

ENTRY_POINTS = """\
[ecluse.record_adapters]
reader = zz_adapter.reader:Reader

[ecluse.formats]
format = zz_adapter:FORMAT

[ecluse.partner_transports]
transport = zz_adapter:TRANSPORT
"""

FILES = {
    "zz_adapter/__init__.py": 'FORMAT, TRANSPORT = "a format", "a transport"\n',
    "zz_adapter/reader.py": READER,
}


@dataclass
class Distribution:
    """A distribution in an import folder of its own."""

    root: Path
    name: str = "zz-adapter"
    version: str = "1.0"

    @property
    def info(self) -> Path:
        return self.root / f"{self.name.replace('-', '_')}-{self.version}.dist-info"

    def install(self, files: Mapping[str, str], *, entry_points: str = ENTRY_POINTS) -> Distribution:
        """Write files, metadata and RECORD."""
        metadata = {
            "METADATA": f"Metadata-Version: 2.1\nName: {self.name}\nVersion: {self.version}\n",
            "WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
            "entry_points.txt": entry_points,
        }
        named = {f"{self.info.name}/{path}": text for path, text in metadata.items()}
        for path, text in {**files, **named}.items():
            target = self.root / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text)
        self.record(*files, *named)
        return self

    def record(self, *paths: str) -> None:
        """Write RECORD over these files, as they are now, and over itself."""
        lines = [f"{path},{_hash(self.root / path)}" for path in paths]
        (self.info / "RECORD").write_text("\n".join([*lines, f"{self.info.name}/RECORD,,"]) + "\n")

    def listed(self, *lines: str) -> None:
        """More lines at the end of RECORD."""
        record = self.info / "RECORD"
        record.write_text(record.read_text() + "\n".join(lines) + "\n")


def _hash(file: Path) -> str:
    raw = file.read_bytes()
    sha256 = base64.urlsafe_b64encode(hashlib.sha256(raw).digest()).rstrip(b"=").decode()
    return f"sha256={sha256},{len(raw)}"
