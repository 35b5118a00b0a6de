"""Segments of `kalshi-sim record`: frames as received, with the recorder's markers between."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from kalshi_sim.errors import DataError
from kalshi_sim.ingest.readers.protocol import Block, Head, ReadOptions
from kalshi_sim.ingest.segment_sums import SumReader
from kalshi_sim.ingest.segments import HEAD, OBJECT, VERSION, Converter, Header, is_object, refused
from kalshi_sim.ingest.sources import Source
from kalshi_sim.text import numbered

_HEADER = msgspec.json.Decoder(Header)


class SegmentsReader:
    """Numbers subscriptions over all connections, and ends them where the recorder says so.

    A segment that a kill cut short is read to its last checksum, or of an earlier recorder to its
    last whole line, and its subscriptions end there.
    """

    name = "segments"
    record = "line"

    def knows(self, head: Head) -> bool:
        """By the header line."""
        return head.text.startswith(HEAD)

    def blocks(self, source: Source, options: ReadOptions) -> Iterator[Block]:
        """The segment's lines as frames.

        Args:
            source: the segment.
            options: unused; a segment says of itself what there is to know.

        Raises:
            DataError: it is damaged, or of a later version.
        """
        header = header_of(source)
        convert = Converter(replay=header.replay)
        sums = SumReader(source, sums=header.sums)
        first = 1
        for _, block in source.blocks():
            text = sums.take(block)
            if text:
                yield (made := _converted(first, text, convert))
                first += made.text.count(b"\n") + 1
        sums.finish()
        ends = b"\n".join(convert.ends())
        notes = () if convert.ended else (_unended(source, sums),)
        if ends or notes:
            yield Block(first, ends, notes=notes)


def _converted(first: int, text: bytes, convert: Converter) -> Block:
    whole = text
    if not text.endswith(b"\n"):  # cut short, if within a line
        start = text.rfind(b"\n") + 1
        whole = text[:start] if not is_object(text[start:]) else text + b"\n"
    lines = whole.split(b"\n")[:-1]
    try:
        OBJECT.decode_lines(whole)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        lines = [b'{"type":"refused frame"}' if refused(line) else line for line in lines]
    out: list[bytes] = []
    bad: list[tuple[int, str]] = []
    for i, line in enumerate(lines):
        try:
            plain = line.startswith(b'{"type"')
            out.append(line if plain or not line else convert(line))
        except (ValueError, KeyError, TypeError) as error:
            out.append(b"")
            bad.append((first + i, str(error)))
    return Block(first, b"\n".join(out), tuple(bad))


def _unended(source: Source, sums: SumReader) -> str:
    """What there is to say of a segment that its recorder did not end."""
    left = ""
    if sums.left_out:
        left = f"; {numbered(sums.left_out, 'byte')} without a checksum left out"
    return (
        f"{source.name} was not ended by its recorder (it was killed, or still writes): read to "
        f"line {sums.lines:,}{left}"
    )


def header_of(source: Source) -> Header:
    """The header of a segment.

    Raises:
        DataError: it cannot be read, or is of a later version.
    """
    line = source.head().split(b"\n", 1)[0]
    try:
        header = _HEADER.decode(line)
    except (msgspec.MsgspecError, ValueError) as error:
        raise DataError(f"{source.path}: the header of the segment is damaged ({error})") from None
    if header.kalshi_sim_segment > VERSION:
        raise DataError(
            f"{source.path} is a segment of version {header.kalshi_sim_segment}, this is of "
            f"{VERSION}; update kalshi-sim"
        )
    return header


def is_segment(source: Source) -> bool:
    """Whether a file is a segment."""
    return source.head().startswith(HEAD)
