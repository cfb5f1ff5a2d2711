"""What a stream may cost, and how patient its worker is."""

STREAMS_PER_ACCOUNT = 1000
CONSUMERS_PER_STREAM = 100
# Of records in memory at once while they are served.
CHUNK_RECORDS = 2000
CHUNK_BYTES = 4 * 1024 * 1024
# Threads of one worker process that read streams at once; the others of its queue are for other jobs.
READERS = 4
# Seconds that a worker stays with one stream before it looks whether others wait.
TURN_SECONDS = 10.0
# A lease outlives the longest page (PAGE_SECONDS and its commit), and each page renews it, so that a dead
# worker's run is taken over within a minute.
LEASE_SECONDS = 45.0
PAGE_SECONDS = 30.0
# Unchanged pages that are confirmed together, at most, and the seconds in which they came: what kill -9 may cost.
CONFIRM_PAGES = 16
CONFIRM_SECONDS = 0.1
# Pages of which is read at once what is known of them.
KNOWN_PAGES = 128
# Claims in a row without a page: whoever reads this stream keeps dying of it.
MAX_CLAIMS = 5

MAX_BODY_BYTES = 32 * 1024 * 1024
MAX_PAGES = 100_000
MAX_KEY_LENGTH = 500
MAX_RECORD_BYTES = 1024 * 1024
# Of all fields that a mapping makes of a record, at the most that they could have.
MAX_MAPPED_BYTES = 64 * 1024 * 1024
MAX_RECORDS = 500_000
# Of one page; there is a page of them to look at, not a copy of everything.
MAX_REJECTED_KEPT = 100

# A look at a first page while somebody waits for it; all of it, with a token, takes 14 s at the most.
PREVIEW_SECONDS = 8.0
PREVIEW_TOKEN_SECONDS = 3.0
PREVIEW_BYTES = 4 * 1024 * 1024
PREVIEW_STEPS = 500_000
PREVIEW_WORK_SECONDS = 3.0
# So many records of the page are looked at.
PREVIEW_RECORDS = 20_000
# Of the records in its answer, as JSON; one is shown whatever its size.
PREVIEW_SHOWN_BYTES = 1024 * 1024
PREVIEWS_A_SECOND = 0.5
# Threads of one web process that look at once, and of those for one account.
PREVIEWERS = 4
PREVIEWERS_OF_ACCOUNT = 2

# Tries of one page before its run has failed, and the time between them, in seconds.
MAX_ATTEMPTS = 6
FIRST_DELAY = 1.0
MAX_DELAY = 300.0
MAX_RETRY_AFTER = 6 * 3600.0
# A pause of a rate limit that is shorter than this is slept, a longer one becomes a due time.
MAX_SLEEP = 1.5

# The schedule's jitter, of the interval and in seconds.
JITTER = 0.1
MAX_JITTER = 30.0
# Failed runs in a row, or seconds from the first of them to a later one, that make a stream failing. One
# that has never succeeded is so at once.
FAILING_AFTER = 3
FAILING_SECONDS = 86_400.0
# After so many failed runs in a row, and so many seconds of them, it is paused: only probed, that often;
# less often when it has been so for long.
PAUSE_AFTER = 20
PAUSE_SECONDS = 86_400.0
PROBE_SECONDS = 3600.0
PROBE_RARELY_AFTER = 7 * 86_400.0
PROBE_RARELY_SECONDS = 86_400.0
# A stream that turns failing again and again, or whose records change again and again, is written about
# so often.
WRITTEN_AGAIN_SECONDS = 86_400.0

# On full refresh: so many vanished at once are not believed without being asked.
BRAKE_SHARE = 0.5
BRAKE_LEAST = 10
