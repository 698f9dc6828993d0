"""The bytes of a file that is held open, and of one that no longer is."""

import asyncio
import os
from pathlib import Path

import pytest

from falco_enrichment_exporter.sources.reading import open_bytes


def test_a_closed_file_is_not_read_though_another_one_has_its_descriptor(tmp_path: Path) -> None:
    """It is an error, and not the other file's bytes."""
    log, other = tmp_path / "falco.log", tmp_path / "other.log"
    log.write_text("one\n")
    other.write_text("two\n")

    async def read() -> None:
        content, _ = await open_bytes(str(log))
        number = content.descriptor
        assert number is not None
        free = bytearray(4)
        assert await content.read_at(memoryview(free), 0) == 4
        await content.close()
        assert os.open(other, os.O_RDONLY) == number
        with pytest.raises(OSError, match="Bad file descriptor"):
            await content.read_at(memoryview(free), 0)
        os.close(number)
        assert free == b"one\n"

    asyncio.run(read())
