"""Writes histogram_golden.json: counts by numpy for float32 scores on and beside bin edges.

    python3 make_histogram_golden.py > histogram_golden.json

Two of numpy's paths must agree: equal bins over a range (on float64) and explicit linspace edges.
"""
import json
import numpy as np

rng = np.random.default_rng(7)
cases = []
for low, high, bins in [(0.0, 1.0, 10), (0.1976, 0.9312, 100), (-0.25, 0.75, 7), (1e-3, 1e3, 64), (0.5, 0.5000001, 5), (-3.0, -1.0, 1)]:
    low, high = float(np.float32(low)), float(np.float32(high))
    edges = np.linspace(low, high, bins + 1)
    on = edges.astype(np.float32)
    scores = np.concatenate([on, np.nextafter(on, np.float32(-np.inf)), np.nextafter(on, np.float32(np.inf)),
                             rng.uniform(low, high, 50).astype(np.float32)])
    by_edges, _ = np.histogram(scores, bins=edges)
    by_range, _ = np.histogram(scores.astype(np.float64), bins=bins, range=(low, high))
    assert (by_edges == by_range).all()
    cases.append({"low": low, "high": high, "bins": bins,
                  "bits": [int(b) for b in scores.view(np.uint32)], "counts": [int(c) for c in by_edges]})
print(json.dumps({"numpy": np.__version__, "cases": cases}))
