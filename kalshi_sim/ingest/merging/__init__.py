"""One stream of events a market from the frames of several files.

The rules are docs/contract.md#2-book-and-events.

The order of frames inside a file is a fact. `pieces` finds what files share, `joints` puts the
pieces of a market in order (`interleaving` by receive time, `by_number`, else one after the other:
`arranging`, by `costs`; `parallel` finds files that two sockets wrote), `connections` finds which
connection and subscription a frame is of (`repeats` what was recorded twice), `owners` whose book
it is. `arrival` puts the frames of several markets in
order, `segments` and `grouping` find which of them share a connection, `sockets` of which one a
control frame is, `endings` where a subscription ended, `holes` where numbers of a whole
subscription are missing, `trades` where a trade stands.
"""

from kalshi_sim.ingest.merging.merge import Merged, merge_frames

__all__ = ["Merged", "merge_frames"]
