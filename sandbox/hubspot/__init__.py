"""A HubSpot to try things on: a real HTTP server with contacts, deals, limits and moods of its own.

`python -m sandbox.hubspot --port 4010` runs it alone; tests run it in process (`Simulator`). It keeps
everything in memory. What it does is what HubSpot's documentation and others' recordings say; where
those differ, `Settings` has a switch.
"""
