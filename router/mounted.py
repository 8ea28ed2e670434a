"""Files that Kubernetes mounts: whether they are others than before."""

from pathlib import Path


class Files:
    """These files; any of them may be absent."""

    def __init__(self, *files: Path) -> None:
        self._files = files
        self._seen: object = None

    def changed(self) -> bool:
        """Whether one is another than at the last call; so at the first."""
        seen = tuple(map(_signature, self._files))
        before, self._seen = self._seen, seen
        return seen != before


def _signature(file: Path) -> object:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size
