"""Folders of exported logs: written file by file, read when asked for."""

from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

from gateway.errors import AuditBroken, RequestInvalid


class Files(Mapping[str, bytes]):
    """The files of a folder by their relative path, read when asked for."""

    def __init__(self, folder: Path) -> None:
        found = (path for path in folder.rglob("*") if path.is_file())
        self._paths = {path.relative_to(folder).as_posix(): path for path in found}

    def __getitem__(self, name: str) -> bytes:
        path = self._paths[name]
        try:
            return path.read_bytes()
        except OSError:
            raise AuditBroken("a file of the export cannot be read") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._paths)

    def __len__(self) -> int:
        return len(self._paths)


def exported(folder: Path) -> list[Path]:
    """The folders of the logs in an export. Raises `RequestInvalid` for none."""
    found = {path.parent for path in folder.rglob("*") if path.name in ("checkpoint", "checkpoints", "tile")}
    if not found:
        raise RequestInvalid("the folder holds no exported log", diagnostic={"field": "export"})
    return sorted(found)


def below(out: Path, origin: str) -> Path:
    """The folder of a log; an origin is stored text, and must not lead anywhere else."""
    parts = PurePosixPath(origin).parts
    if not parts or origin.startswith("/") or ".." in parts:
        raise AuditBroken("a stored origin is not one of a log")
    return out.joinpath(*parts)


def write(path: Path, data: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    except OSError:
        raise RequestInvalid("the folder cannot be written", diagnostic={"field": "out"}) from None
