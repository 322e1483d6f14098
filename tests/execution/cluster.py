"""A Ray cluster of two nodes on this machine. The second one has a resource.

``python -m tests.execution.cluster RESOURCE`` prints its address, and ends it when nothing is left to read.
"""

from __future__ import annotations

import socket
import sys
from typing import Any


def ports() -> dict[str, Any]:
    """Ports for a node's own processes: where they are given, the node does not wait for these to choose some."""
    found = {}
    for name in ("dashboard_agent_listen_port", "metrics_agent_port", "metrics_export_port", "runtime_env_agent_port"):
        with socket.socket() as listening:
            listening.bind(("", 0))
            found[name] = listening.getsockname()[1]
    return found


def main(resource: str) -> None:
    """Be the cluster."""
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False, **ports()})
    cluster.add_node(num_cpus=1, resources={resource: 1}, **ports())
    sys.stdout.write(f"{cluster.address}\n")
    sys.stdout.flush()
    sys.stdin.read()
    cluster.shutdown()  # type: ignore[no-untyped-call]


if __name__ == "__main__":
    main(sys.argv[1])
