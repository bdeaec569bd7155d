"""The checksums of S3 that are not in Python's library: CRC32C and CRC64NVME, both reflected."""

from __future__ import annotations

from base64 import b64encode
from functools import cache

_CASTAGNOLI = 0x82F63B78
_NVME = 0x9A6C9329AC4BC9B5


def crc32c_of(content: bytes) -> str:
    """Return the CRC32C of a content as S3 writes it."""
    return b64encode(_crc(content, _CASTAGNOLI, 32).to_bytes(4, 'big')).decode()


def crc64nvme_of(content: bytes) -> str:
    """Return the CRC64NVME of a content as S3 writes it."""
    return b64encode(_crc(content, _NVME, 64).to_bytes(8, 'big')).decode()


@cache
def _table(polynomial: int) -> list[int]:
    table: list[int] = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (polynomial if value & 1 else 0)
        table.append(value)
    return table


def _crc(content: bytes, polynomial: int, bits: int) -> int:
    table, ones = _table(polynomial), (1 << bits) - 1
    crc = ones
    for byte in content:
        crc = table[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ ones
