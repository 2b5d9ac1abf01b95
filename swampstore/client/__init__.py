"""The faces of the library: one core, a blocking and an asyncio client with the same names."""
