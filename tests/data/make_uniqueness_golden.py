"""Writes uniqueness_golden.json: mean distances to the k nearest other rows by scikit-learn, on float64.

    python3 make_uniqueness_golden.py > uniqueness_golden.json

The first rows of a .vec file, cut to a few dims, some copied onto others. A row itself is left out by index,
not by distance, so copies count as neighbours. Distances taken one by one must agree. Between copies
scikit-learn finds a distance of about 1e-9 instead of 0 (euclidean, from dot products), so compare with an
absolute tolerance too.
"""
import argparse
import json
from pathlib import Path

import numpy as np
import sklearn
from sklearn.neighbors import NearestNeighbors

ROWS, DIM, FILE_DIM = 300, 24, 384
COPIES = {17: [40, 41, 299], 100: [200]}
SPARE = 8  # more neighbours than k, so that the row itself is among them or not needed
ROOT = Path(__file__).resolve().parents[2]

parser = argparse.ArgumentParser()
parser.add_argument("vec", nargs="?", type=Path, default=ROOT / "../shared/data/wordnet/wordnet-minilm-384d.docs.vec")
values = np.fromfile(parser.parse_args().vec, dtype="<f4", count=ROWS * FILE_DIM)
values = values.reshape(ROWS, FILE_DIM)[:, :DIM].copy()
for source, targets in COPIES.items():
    values[targets] = values[source]
rows = values.astype(np.float64)


def one_by_one(metric, k):
    """The same scores without scikit-learn: every pair's distance from its own differences or product."""
    if metric == "cosine":
        unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
        distances = 1.0 - (unit[:, None, :] * unit[None, :, :]).sum(axis=2)
    else:
        differences = rows[:, None, :] - rows[None, :, :]
        distances = np.sqrt((differences**2).sum(axis=2)) if metric == "euclidean" else np.abs(differences).sum(axis=2)
    np.fill_diagonal(distances, np.inf)
    return np.sort(distances, axis=1)[:, :k].mean(axis=1)


cases = []
for metric in ("euclidean", "cosine", "manhattan"):
    index = NearestNeighbors(algorithm="brute", metric=metric).fit(rows)
    for k in (5, 1):
        distances, found = index.kneighbors(rows, n_neighbors=k + SPARE)
        scores = [float(np.sort(distances[row][found[row] != row])[:k].mean()) for row in range(ROWS)]
        assert np.allclose(scores, one_by_one(metric, k), rtol=1e-12, atol=1e-8)
        cases.append({"metric": metric, "k": k, "scores": scores})

texts = [format(value, ".9g") for value in values.ravel()]
assert (np.array(texts, dtype=np.float32) == values.ravel()).all()
golden = {"sklearn": sklearn.__version__, "rows": ROWS, "dim": DIM,
          "values": [float(text) for text in texts], "cases": cases}
print(json.dumps(golden, separators=(",", ":")))
