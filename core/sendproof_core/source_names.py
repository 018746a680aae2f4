"""What the sources of the record are called in `reading_positions`: the host, and what was read there. Pure."""

_IMPORT = "import:"


def source_name(host: str, place: str) -> str:
    """Of what is followed; ``place``: the file's path, or what else tells it from the host's other sources."""
    return f"{host}:{place}"


def import_name(host: str, place: str) -> str:
    """Of an old file that is read once: it says nothing of how far the host was read."""
    return f"{host}:{_IMPORT}{place}"


def host_of(source: str) -> str:
    """The host that a source belongs to."""
    return source.partition(":")[0]


def is_import(source: str) -> bool:
    """Whether it is an old file that is, or was, read once."""
    return source.partition(":")[2].startswith(_IMPORT)
