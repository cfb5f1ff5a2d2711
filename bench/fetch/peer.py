"""dlt's REST source into PostgreSQL, merged by primary key. Run by the environment that has dlt, not by ours:
`python -m bench.fetch.peer URL FOLDER`, with DATABASE_URL."""

import os
import sys
from urllib.parse import urlsplit

import dlt  # type: ignore[import-not-found]
from dlt.sources.rest_api import rest_api_source  # type: ignore[import-not-found]

from bench.measuring import cost_of, tell

DATASET = "bench_dlt"


def load(url: str, folder: str) -> None:
    parts = urlsplit(url)
    source = rest_api_source(
        {
            "client": {
                "base_url": f"{parts.scheme}://{parts.netloc}/",
                "paginator": {
                    "type": "page_number",
                    "base_page": 1,
                    "page_param": "page",
                    "total_path": None,
                    "stop_after_empty_page": True,
                },
            },
            "resources": [
                {
                    "name": "items",
                    "primary_key": "id",
                    "write_disposition": "merge",
                    "endpoint": {"path": parts.path.strip("/"), "data_selector": "results"},
                }
            ],
        }
    )
    pipeline = dlt.pipeline(
        "bench",
        pipelines_dir=folder,
        destination=dlt.destinations.postgres(os.environ["DATABASE_URL"]),
        dataset_name=DATASET,
    )
    pipeline.run(source).raise_on_failed_jobs()


if __name__ == "__main__":
    tell(cost_of(lambda: load(*sys.argv[1:])))
