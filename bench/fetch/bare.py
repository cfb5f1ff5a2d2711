"""The limit of reading a remote API: `python -m bench.fetch.bare bare|download URL` tells what it cost."""

import os
import sys
from collections.abc import Iterator

import orjson
import psycopg
import urllib3

from bench.measuring import cost_of, tell


def pages(url: str) -> Iterator[bytes]:
    """The bodies, from the first page to the empty one."""
    client = urllib3.PoolManager()
    page = 1
    while True:
        body = client.request("GET", f"{url}?page={page}").data
        if len(body) < 100:
            return
        yield body
        page += 1


def bare(url: str) -> None:
    """The limit: every page downloaded, its records written by one COPY into a table without an index. The table is there
    before, as a stream's is: PostgreSQL writes no log (WAL) of what goes into one that its own transaction has made."""
    with psycopg.connect(os.environ["DATABASE_URL"]) as connection, connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS bench_bare; CREATE TABLE bench_bare (data text)")
        connection.commit()
        with cursor.copy("COPY bench_bare FROM STDIN") as copy:
            for body in pages(url):
                lines = map(orjson.dumps, orjson.loads(body)["results"])
                copy.write(b"\n".join(lines).replace(b"\\", b"\\\\") + b"\n")


def download(url: str) -> None:
    """What even a run that finds nothing new has to do."""
    for _ in pages(url):
        pass


WORK = {"bare": bare, "download": download}

if __name__ == "__main__":
    what, url = sys.argv[1:]
    tell(cost_of(lambda: WORK[what](url)))
