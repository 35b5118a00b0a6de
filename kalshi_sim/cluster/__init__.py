"""Work on a Ray cluster: jobs with declared resources, which begin anew where a worker is lost.

What a job sends back, its log and its result come as messages of one stream, so that nothing has
to lie on a file system that all nodes see.
"""

from kalshi_sim.cluster.connection import Resources, check_room, connect, nodes_of
from kalshi_sim.cluster.node import Begun, Job, Send
from kalshi_sim.cluster.tasks import ATTEMPTS, Tasks

__all__ = [
    "ATTEMPTS",
    "Begun",
    "Job",
    "Resources",
    "Send",
    "Tasks",
    "check_room",
    "connect",
    "nodes_of",
]
