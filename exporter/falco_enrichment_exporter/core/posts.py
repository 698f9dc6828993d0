"""What a posted body holds: one object, an array, objects one after another, or Falco's text lines."""

from typing import Final

import msgspec

_OBJECTS: Final = msgspec.json.Decoder(msgspec.Raw)
_ARRAY: Final = msgspec.json.Decoder(list[msgspec.Raw])
_ERRORS: Final = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
_BOM: Final = b"\xef\xbb\xbf"


def split(body: bytes) -> list[bytes] | None:
    """Cut a body into Falco's lines; None for an array of anything but objects.

    Objects may stand on lines of their own, go over several, or follow each other without a break. If one of them is
    broken, what counts are lines, and the broken line costs only itself.
    """
    text = body.removeprefix(_BOM).strip()
    if text.startswith(b"["):
        try:
            items = [bytes(item) for item in _ARRAY.decode(text)]
        except _ERRORS:
            return None
        return items if all(item.startswith(b"{") for item in items) else None
    if text.startswith(b"{"):
        try:
            return [bytes(item) for item in _OBJECTS.decode_lines(text)]
        except _ERRORS:
            pass
    return [line for line in (part.strip() for part in text.split(b"\n")) if line]
