"""The numbers of delivery that must fit together (a test holds them to it)."""

from apps.webhooks.enums import Lane

# Requests in flight to one endpoint, counted from live leases.
ENDPOINT_CAP = 5
# Deliveries that one process may hold for an endpoint that answers well, while nobody else holds any: as
# many as are expected to be sent in so many seconds.
HAND = 256
HAND_SECONDS = 0.25
# Deliveries that one claim takes of one lane.
CLAIM_BATCH = 128
# What one process holds at a time, from the claim to the recorded outcome. No lane takes another's.
LANE_SLOTS = {Lane.FIRST: 512, Lane.RETRY: 128, Lane.REPLAY: 64, Lane.SLOW: 64}
SLOTS = sum(LANE_SLOTS.values())
# Of these, what one account's deliveries get; a claim may go beyond it by its batch.
ACCOUNT_SHARES = tuple(slots // 2 for slots in LANE_SLOTS.values())
# How far ahead of its time a delivery is claimed when its endpoint has a rate limit.
RATE_HORIZON_SECONDS = 1.0
# A claim walks past so many endpoints that have no place free, and goes on in the next one.
MAX_WALKS = 20
# An event with more endpoints than this goes the long way (`webhooks.fan_out`).
FAST_ENDPOINTS = 64
FAN_OUT_BATCH = 1000
# A delivery claimed so often without a recorded attempt is a danger to its workers.
MAX_CLAIMS = 5
# How long a delivery under a lease may wait for its request to begin.
MAX_WAIT_SECONDS = 10.0
# Recording may take two statements at their time limit (`statement_timeout`).
RECORD_SECONDS = 60.0
# More than the wait, the request (`aio.TOTAL_SECONDS`) and the recording together: nobody else takes a
# delivery that is still under way.
LEASE_SECONDS = 90.0
