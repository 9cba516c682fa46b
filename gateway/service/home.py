"""A home: one folder, one organisation, one owning process."""

from __future__ import annotations

import fcntl
import os
import time
from dataclasses import dataclass
from pathlib import Path

from gateway.errors import ConfigInvalid, StoreUnavailable

#: Longest path an AF_UNIX address holds on Linux, in bytes, without its final NUL.
MAX_SOCKET_PATH = 107

#: Seconds between two looks at a lock that is about to be free.
LOCK_POLL_S = 0.02


@dataclass(frozen=True)
class Home:
    """Where everything of one organisation lies."""

    path: Path

    @property
    def config(self) -> Path:
        return self.path / "gateway.toml"

    @property
    def database(self) -> Path:
        return self.path / "store.sqlite"

    @property
    def tls(self) -> Path:
        return self.path / "tls"

    @property
    def timestamp_authorities(self) -> Path:
        return self.tls / "timestamps.pem"

    @property
    def signer(self) -> Path:
        return self.path / "signer"

    @property
    def control_socket(self) -> Path:
        return self._socket("control.sock")

    @property
    def signer_socket(self) -> Path:
        return self._socket("signer.sock")

    def _socket(self, name: str) -> Path:
        """The socket's path, by way of a directory descriptor where the plain one does not fit an address."""
        plain = self.path.absolute() / name
        if len(os.fsencode(plain)) <= MAX_SOCKET_PATH:
            return plain
        return Path(f"/proc/self/fd/{_directory(self.path.absolute())}/{name}")

    def require(self) -> None:
        """Raise `ConfigInvalid` unless this is a home."""
        if not self.config.is_file() or not self.signer.is_dir():
            raise ConfigInvalid("there is no home here: run `ecluse init`, or name one with --home")

    def own(self, *, patience_s: float = 0.0) -> OwnerLock:
        """Become the one process that owns this home.

        Raises `ConfigInvalid` while another does, after ``patience_s``; `StoreUnavailable` for a home that cannot be
        written.
        """
        return OwnerLock(self.path / "owner.lock", patience_s=patience_s)


_descriptors: dict[Path, int] = {}


def _directory(path: Path) -> int:
    if path not in _descriptors:
        _descriptors[path] = os.open(path, os.O_PATH | os.O_DIRECTORY)
    return _descriptors[path]


class OwnerLock:
    """An exclusive lock that the kernel releases when its process ends, however it ends.

    ``patience_s`` waits for an owner that is about to end; without it the first refusal is the answer.
    """

    def __init__(self, path: Path, *, patience_s: float = 0.0) -> None:
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError:
            raise StoreUnavailable("the home cannot be written") from None
        deadline = time.monotonic() + patience_s
        while True:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except OSError:
                if time.monotonic() >= deadline:
                    os.close(self._file)
                    raise ConfigInvalid("another process owns this home") from None
                time.sleep(LOCK_POLL_S)

    def release(self) -> None:
        """Let go; also done by the kernel at exit."""
        os.close(self._file)
