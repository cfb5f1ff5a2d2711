"""`python -m sandbox.hubspot --port 4010`: the simulated HubSpot, until SIGINT or SIGTERM."""

import argparse
import os
import signal
import threading

from sandbox.hubspot.server import Simulator


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m sandbox.hubspot", description=__doc__)
    parser.add_argument("--port", type=int, default=4010)
    parser.add_argument("--latency", type=float, default=0.0, help="seconds that each call takes")
    parser.add_argument(
        "--webhook-url",
        default="",
        help="where people's changes are told, signed with $HUBSPOT_CLIENT_SECRET",
    )
    arguments = parser.parse_args()
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with Simulator(arguments.port) as simulator:
        simulator.settings.latency_seconds = arguments.latency
        simulator.settings.change(
            webhook_url=arguments.webhook_url,
            client_secret=os.environ.get("HUBSPOT_CLIENT_SECRET", ""),
            echoes=False,
        )
        print(f"A simulated HubSpot listens at {simulator.url}", flush=True)
        stop.wait()


if __name__ == "__main__":
    main()
