#!/usr/bin/env python3
"""Writes the index files of Annoy 1.17.3 that tests open, and what Annoy itself finds in them (pip install annoy numpy)."""

from pathlib import Path

import numpy as np
from annoy import AnnoyIndex

HERE = Path(__file__).parent
rng = np.random.default_rng(7)
docs = rng.standard_normal((400, 8)).astype("<f4")
queries = rng.standard_normal((20, 8)).astype("<f4")
docs.tofile(HERE / "docs.vec")
queries.tofile(HERE / "queries.vec")
for kind in ("angular", "euclidean", "dot"):
    index = AnnoyIndex(8, kind)
    index.set_seed(3)
    for row, vector in enumerate(docs):
        index.add_item(row, vector)
    index.build(4)
    index.save(str(HERE / f"{kind}.ann"))
    found = [index.get_nns_by_vector(query, 10, search_k=100) for query in queries]
    np.array(found, dtype="<i4").tofile(HERE / f"{kind}.ids")
