"""Picture files: their formats, pixels and metadata, read whole or in rows, and written whole or not at all."""
