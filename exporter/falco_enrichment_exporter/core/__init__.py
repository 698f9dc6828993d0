"""The pure core: bytes in, state out. No asyncio, files, clock, logging or prometheus_client in here."""
