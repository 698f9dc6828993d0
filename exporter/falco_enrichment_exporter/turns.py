"""Long work on the event loop, in turns with all else that happens there."""

import asyncio
import time

TURN_SECONDS = 0.005


class Turns:
    """Let others go first whenever a piece of work has taken its time; call ``pause`` as often as it can be left."""

    def __init__(self) -> None:
        self._until = time.monotonic() + TURN_SECONDS

    async def pause(self) -> None:
        """Go on at once, or after the others."""
        if time.monotonic() >= self._until:
            await asyncio.sleep(0)
            self._until = time.monotonic() + TURN_SECONDS
