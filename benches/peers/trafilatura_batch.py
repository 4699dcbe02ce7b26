"""The peer of the bench `batch`: one process, the same pages, text out. Usage: trafilatura_batch.py LIST OUTPUT"""

import gzip
import json
import sys

import trafilatura

with open(sys.argv[1], encoding="utf-8") as pages, open(sys.argv[2], "w", encoding="utf-8") as out:
    for line in pages:
        item = json.loads(line)
        with gzip.open(item["source"]) as page:
            text = trafilatura.extract(page.read(), output_format="markdown", include_links=True, with_metadata=True)
        out.write(json.dumps({"id": item["id"], "text": text}) + "\n")
