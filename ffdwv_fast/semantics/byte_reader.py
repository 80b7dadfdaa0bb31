"""Reading binary records in order from a stream too large for the memory."""

from typing import BinaryIO

_CHUNK = 1 << 22


class CutOffError(Exception):
    """The stream ends inside a record."""


class ByteReader:
    """Takes fields from the front of a stream.

    Args:
        stream: Anything with ``read(size)``.
    """

    def __init__(self, stream: BinaryIO):
        self._stream = stream
        self._buffer = b""
        self._position = 0
        self._dropped = 0

    @property
    def taken(self) -> int:
        """Number of bytes taken so far."""
        return self._dropped + self._position

    def peek(self, size: int) -> bytes:
        """The next ``size`` bytes, left in place; :class:`CutOffError` where there are fewer."""
        while len(self._buffer) - self._position < size:
            self._refill()
        return self._buffer[self._position : self._position + size]

    def take(self, size: int) -> bytes:
        """The next ``size`` bytes; :class:`CutOffError` where there are fewer."""
        field = self.peek(size)
        self._position += size
        return field

    def until(self, delimiter: bytes, limit: int) -> bytes:
        """The bytes before the one-byte ``delimiter``, which is passed over.

        Raises :class:`CutOffError` where it does not come, ValueError where it does not come
        within ``limit`` bytes.
        """
        while (end := self._buffer.find(delimiter, self._position)) < 0:
            if len(self._buffer) - self._position > limit:
                raise ValueError(f"no {delimiter!r} within {limit} bytes")
            self._refill()
        start, self._position = self._position, end + 1
        if end - start > limit:
            raise ValueError(f"no {delimiter!r} within {limit} bytes")
        return self._buffer[start:end]

    def rest(self, limit: int) -> bytes:
        """Up to ``limit`` of the bytes that follow."""
        return (self._buffer[self._position :] + self._stream.read(limit))[:limit]

    def _refill(self) -> None:
        more = self._stream.read(_CHUNK)
        if not more:
            raise CutOffError
        self._dropped += self._position
        self._buffer = self._buffer[self._position :] + more
        self._position = 0
