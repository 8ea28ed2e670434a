"""A header is measured before its counts are believed."""

import struct
from pathlib import Path

import pytest
from gguf import GGUFReader
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.gguf_header import MOST_ELEMENTS, NoHeaderError, length
from tests.models import tiny


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write(tmp_path_factory.mktemp("gguf") / "tiny.gguf")


def test_the_header_ends_where_the_tensors_begin(weights: Path) -> None:
    data = weights.read_bytes()
    found = length(data)
    assert found is not None
    begin = GGUFReader(weights).data_offset
    assert begin - 32 < found <= begin
    assert length(data[:found]) == found
    for part in (0, 3, 20, found // 2, found - 1):
        assert length(data[:part]) is None


def _field(kind: int, value: bytes) -> bytes:
    return struct.pack("<Q", 1) + b"k" + struct.pack("<I", kind) + value


@pytest.mark.parametrize(
    ("tensors", "fields", "rest"),
    [
        (2**60, 0, b""),
        (0, 2**60, b""),
        (0, 1, _field(9, struct.pack("<IQ", 0, 2**60))),
        (0, 1, _field(9, struct.pack("<IQ", 8, MOST_ELEMENTS + 1))),
        (0, 1, _field(9, struct.pack("<IQ", 9, 1))),
        (0, 2, _field(9, struct.pack("<IQ", 0, MOST_ELEMENTS) + bytes(MOST_ELEMENTS)) * 2),
        (0, 1, _field(77, b"")),
        (1, 0, struct.pack("<QI", 0, 2**31)),
    ],
)
def test_counts_that_no_model_has_are_refused_without_counting(tensors: int, fields: int, rest: bytes) -> None:
    with pytest.raises(NoHeaderError):
        length(struct.pack("<4sIQQ", b"GGUF", 3, tensors, fields) + rest)


def test_a_text_longer_than_the_file_is_asked_for_and_not_made() -> None:
    assert length(struct.pack("<4sIQQQ", b"GGUF", 3, 0, 1, 2**63)) is None


@given(st.binary(max_size=200))
@settings(deadline=None)
def test_any_bytes_have_an_end_or_none_or_are_refused(rest: bytes) -> None:
    try:
        found = length(struct.pack("<4sIQQ", b"GGUF", 3, 2, 2) + rest)
    except NoHeaderError:
        return
    assert found is None or 24 <= found <= 24 + len(rest)
