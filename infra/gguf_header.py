"""How long the header of a GGUF is, before anybody believes the counts in it.

The reader of the package `gguf` makes an object for each of them: a file that claims 2^60 would take all memory.
"""

import struct

MAGIC = b"GGUF"
VERSIONS = (2, 3)
MOST_FIELDS = 10_000
MOST_TENSORS = 100_000
MOST_ELEMENTS = 4_000_000
"""Of all arrays together; the largest vocabularies have 300,000 tokens, with a score, a kind and a merge each."""
MOST_DIMENSIONS = 8
SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
"""Bytes of a value by its type (ggml-org/ggml docs/gguf.md, 2026-08-20)."""
STRING, ARRAY = 8, 9


class NoHeaderError(ValueError):
    """The bytes are no header of a GGUF, or of one that no model has."""


class _ShortError(Exception):
    """The header goes on behind the bytes."""


def length(start: bytes) -> int | None:
    """Bytes of the header at the beginning of a file; None where it goes on behind `start`. Raises NoHeaderError."""
    try:
        return _Walk(start).to_the_end()
    except _ShortError:
        return None


class _Walk:
    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0
        self._elements = 0

    def to_the_end(self) -> int:
        if self._take(4) != MAGIC or self._number("I") not in VERSIONS:
            raise NoHeaderError
        tensors, fields = self._count(MOST_TENSORS), self._count(MOST_FIELDS)
        for _ in range(fields):
            self._string()
            self._value(self._number("I"))
        for _ in range(tensors):
            self._string()
            dimensions = self._number("I")
            if dimensions > MOST_DIMENSIONS:
                raise NoHeaderError
            self._take(dimensions * 8 + 4 + 8)
        return self._at

    def _value(self, kind: int) -> None:
        if kind == STRING:
            self._string()
        elif kind == ARRAY:
            inner = self._number("I")
            count = self._count(MOST_ELEMENTS)
            self._elements += count
            if self._elements > MOST_ELEMENTS:
                raise NoHeaderError
            if inner == STRING:
                for _ in range(count):
                    self._string()
            else:
                self._take(count * self._size(inner))
        else:
            self._take(self._size(kind))

    def _size(self, kind: int) -> int:
        if kind not in SIZES:
            raise NoHeaderError
        return SIZES[kind]

    def _string(self) -> None:
        self._take(self._number("Q"))

    def _count(self, most: int) -> int:
        count = self._number("Q")
        if count > most:
            raise NoHeaderError
        return count

    def _number(self, form: str) -> int:
        number: int = struct.unpack(f"<{form}", self._take(struct.calcsize(form)))[0]
        return number

    def _take(self, size: int) -> bytes:
        begin = self._at
        self._at += size
        if self._at > len(self._data):
            raise _ShortError
        return self._data[begin : self._at]
