"""The numbers of delivery that must fit together (a test holds them to it)."""

# Requests in flight to one endpoint, counted from live leases.
ENDPOINT_CAP = 5
CLAIM_BATCH = 64
# What one process holds at a time, from the claim to the recorded outcome.
SLOTS = 512
# Of these, what one account's deliveries get; a claim may go beyond it by its batch.
ACCOUNT_SHARE = SLOTS // 2
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
