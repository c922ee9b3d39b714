#!/usr/bin/env python3
"""Times mean distances to the k nearest other rows by knnscope and scikit-learn (brute force), interleaved.

- `knnscope`: the whole process of `knnscope uniqueness`, reading and writing included.
- `batch`: one `kneighbors` call for all rows, on float32 and on float64; the faster is the best batch.
- `per-sample`: one `kneighbors` call per row, spread over worker processes, as the Python tool that
  knnscope replaces; float32 and float64 too.

Where scikit-learn is asked for some rows only (against all), its seconds are scaled to all rows; the output
says so. Not timed for scikit-learn: starting Python and the workers, imports, reading, writing.
"""

import argparse
import json
import multiprocessing
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

# Largest relative difference of a score from scikit-learn's on float64.
TOLERANCE = 1e-6
METRICS = ("euclidean", "cosine", "manhattan")
DTYPES = ("float32", "float64")
# Rows of a batch where nothing else is told; manhattan takes minutes for all of 40,000.
BATCH_ROWS = {"manhattan": 4_000}
# Rows of each contestant's warm-up.
WARM_UP_ROWS = 64
# Idle threads of OpenBLAS and OpenMP spin for a while; nobody is timed meanwhile.
PAUSE_SECS = 0.3

# What a worker process of `per-sample` keeps: the fitted NearestNeighbors and its rows.
worker_index = worker_rows = None


def parse_args():
    """Reads the flags."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--embeddings", type=Path, required=True, help="vectors (.vec: flat little-endian float32)")
    parser.add_argument("--dim", type=int, default=384)
    parser.add_argument("--rows", type=int, default=40_000, help="first rows of the file [40000]")
    parser.add_argument("--k", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2, help="threads, or worker processes, of each [2]")
    parser.add_argument("--repeats", type=int, default=3, help="rounds after the warm-up [3]")
    parser.add_argument("--metrics", default=",".join(METRICS), help="separated by commas [%(default)s]")
    parser.add_argument("--per-sample-rows", type=int, default=400, help="rows of per-sample, then scaled [400]")
    parser.add_argument("--batch-rows", type=int, help="rows of batch, then scaled [all; 4000 manhattan]")
    parser.add_argument("--knnscope", default="knnscope", metavar="PATH", help="the program [knnscope on PATH]")
    args = parser.parse_args()
    for name in ("dim", "rows", "k", "threads", "repeats", "per_sample_rows", "batch_rows"):
        value = getattr(args, name)
        if value is not None and value < 1:
            parser.error(f"--{name.replace('_', '-')}: expected at least 1, found {value}")
    if args.k >= args.rows:
        parser.error(f"--k: {args.k} other rows are wanted, there are {args.rows - 1}")
    args.metrics = args.metrics.split(",")
    for metric in args.metrics:
        if metric not in METRICS:
            parser.error(f"--metrics: expected {', '.join(METRICS)}, found {metric}")
    found = shutil.which(args.knnscope)
    if found is None:
        parser.error(f"--knnscope: there is no program {args.knnscope}")
    args.knnscope = found
    return args


def limit_threads(threads):
    """Limits the threads of every library; only works before they are imported."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(threads)


def load(path, dim, wanted):
    """The first `wanted` rows of a .vec file."""
    import numpy as np

    size = path.stat().st_size
    if size % (4 * dim):
        sys.exit(f"{path}: {size} bytes are no whole number of rows of dim {dim}")
    if wanted > size // (4 * dim):
        sys.exit(f"{path}: {wanted} rows are wanted, it has {size // (4 * dim)}")
    return np.fromfile(path, dtype="<f4", count=wanted * dim).reshape(wanted, dim)


def fail(message):
    """Ends the program with `message`, on a line of its own below the progress."""
    sys.exit(f"\n{message}")


def spread(rows, count):
    """`count` of `rows` row numbers, spread evenly; all of them if there are no more."""
    import numpy as np

    return np.linspace(0, rows - 1, min(count, rows)).round().astype(np.intp)


def mean_distances(distances, found, asked, k):
    """Scores of the rows `asked` from their k + 1 neighbours, without the row itself, by index.

    A row that is not among its own neighbours has more than k copies: the last then goes instead.
    """
    import numpy as np

    own = found == asked[:, None]
    own[~own.any(axis=1), -1] = True
    return distances[~own].reshape(len(asked), k).mean(axis=1, dtype=np.float64)


def start_worker(path, metric):
    """Readies a worker process of `per-sample`."""
    global worker_index, worker_rows
    import numpy as np
    from sklearn.neighbors import NearestNeighbors

    worker_rows = np.load(path)
    worker_index = NearestNeighbors(algorithm="brute", metric=metric, n_jobs=1).fit(worker_rows)


def score_sample(task):
    """The neighbours of one row, by a worker process."""
    row, neighbours = task
    distances, found = worker_index.kneighbors(worker_rows[row : row + 1], n_neighbors=neighbours)
    return distances[0], found[0]


def batch_contestant(rows, metric, k, threads):
    """One call for all rows asked for; fitting, which only stores the rows, is timed too."""
    from sklearn.neighbors import NearestNeighbors
    from threadpoolctl import threadpool_limits

    def run(asked):
        # As an own array, so that asking for all rows is asking for the rows of the index itself.
        queries = rows if len(asked) == len(rows) else rows[asked]
        with threadpool_limits(threads):
            started = time.perf_counter()
            index = NearestNeighbors(algorithm="brute", metric=metric, n_jobs=threads).fit(rows)
            distances, found = index.kneighbors(queries, n_neighbors=k + 1)
            scores = mean_distances(distances, found, asked, k)
            return time.perf_counter() - started, scores

    return run


def per_sample_contestant(pool, k):
    """One call per row asked for, over the pool's processes."""
    import numpy as np

    def run(asked):
        started = time.perf_counter()
        answers = pool.map(score_sample, [(int(row), k + 1) for row in asked])
        distances, found = (np.array(part) for part in zip(*answers))
        scores = mean_distances(distances, found, asked, k)
        return time.perf_counter() - started, scores

    return run


def knnscope_contestant(args, path, metric, rows):
    """`knnscope uniqueness` into a fresh folder: the time of the whole process."""
    import numpy as np

    def run(_asked):
        with tempfile.TemporaryDirectory(prefix="knnscope-peers-") as folder:
            output = Path(folder) / "scores.jsonl"
            command = [args.knnscope, "uniqueness", "--embeddings", path, "--k", args.k, "--distance-metric", metric]
            command += ["--max-workers", args.threads, "--output", output]
            started = time.perf_counter()
            done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
            secs = time.perf_counter() - started
            if done.returncode != 0:
                fail(f"knnscope ended with {done.returncode}:\n{done.stdout}{done.stderr}")
            records = [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]
        if [record["id"] for record in records] != list(range(rows)):
            fail(f"WRONG: knnscope's {len(records)} ids are not the row numbers 0 to {rows - 1} in order")
        return secs, np.array([record["score"] for record in records], dtype=np.float64)

    return run


def noise(rows, metric):
    """What scikit-learn's own rounding adds between copies, where the distance is 0.

    Its euclidean distances come from dot products: an error of the square becomes one of its root.
    """
    import numpy as np

    epsilon = 8 * float(np.finfo(np.float64).eps)
    norm = float(np.linalg.norm(rows, axis=1).max())
    return {"euclidean": epsilon**0.5 * norm, "cosine": epsilon, "manhattan": 0.0}[metric]


def verify(name, scores, expected, asked, allowed):
    """Ends the program unless knnscope's scores are scikit-learn's; the largest relative difference.

    Where that is too much, differences up to `allowed` are scikit-learn's own and count as none.
    """
    import numpy as np

    difference = np.abs(scores[asked] - expected)
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = np.where(difference == 0.0, 0.0, difference / np.abs(expected))
    # Written so that NaN is kept, and wrong.
    relative[(relative > TOLERANCE) & (difference <= allowed)] = 0.0
    largest = float(relative.max())
    if not largest <= TOLERANCE:
        at = int(np.argmax(np.nan_to_num(relative, nan=np.inf)))
        row = asked[at]
        fail(
            f"WRONG: row {row} scores {scores[row]:.17g} by knnscope, {expected[at]:.17g} by {name}; relative "
            f"differences reach {largest:.3g}, allowed are {TOLERANCE:g}"
        )
    return largest


def compete(contestants, asked, repeats, allowed):
    """A warm-up, then rounds in which each contestant runs once in turn; checks every result.

    `contestants` starts with knnscope, whose scores are checked against those on float64 of the same round.
    Returns the seconds of each, not scaled yet, and the largest relative differences.
    """
    times, differences = {name: [] for name in contestants}, {}
    for turn in range(repeats + 1):
        print(f"round {turn} of {repeats}" if turn else "warm-up", end="", file=sys.stderr, flush=True)
        scores = None
        for name, run in contestants.items():
            time.sleep(PAUSE_SECS)
            rows = asked[name] if turn else asked[name][:WARM_UP_ROWS]
            secs, found = run(rows)
            print(f"  {name} {secs:.3f}", end="", file=sys.stderr, flush=True)
            if scores is None:
                scores = found
            elif name.endswith("float64"):
                differences[name] = max(differences.get(name, 0.0), verify(name, scores, found, rows, allowed))
            if turn:
                times[name].append(secs)
        print(file=sys.stderr)
    return times, differences


def report(metric, rows, times, asked, differences):
    """Prints the table of one metric."""
    scaled = {name: [value * rows / len(asked[name]) for value in secs] for name, secs in times.items()}
    medians = {name: statistics.median(secs) for name, secs in scaled.items()}
    whole = medians["knnscope"]
    print(f"\n{metric:24}{'median s':>10}{'min':>9}{'max':>9}{'÷ knnscope':>12}")
    for name, secs in scaled.items():
        count = len(asked[name])
        note = "" if count == rows else f"   SCALED from {count:,} of {rows:,} rows ({statistics.median(times[name]):.3f} s)"
        ratio = "" if name == "knnscope" else f"{medians[name] / whole:.2f}"
        print(f"{name:24}{medians[name]:10.3f}{min(secs):9.3f}{max(secs):9.3f}{ratio:>12}{note}")
    for kind in ("batch", "per-sample"):
        best = min((name for name in medians if name.startswith(kind)), key=medians.get)
        print(f"best {kind} is {best.split()[-1]}: {medians[best]:.3f} s, {kind} ÷ knnscope {medians[best] / whole:.2f}")
    found = ", ".join(f"{name} {difference:.2g} ({len(asked[name]):,} rows)" for name, difference in differences.items())
    print(f"knnscope's scores agree; largest relative differences: {found}", flush=True)


def contest(args, metric, path, paths, data):
    """All contestants with one metric."""
    rows = len(data["float32"])
    every = spread(rows, rows)
    contestants = {"knnscope": knnscope_contestant(args, path, metric, rows)}
    asked = {"knnscope": every}
    pools = []
    try:
        for dtype in DTYPES:
            contestants[f"batch {dtype}"] = batch_contestant(data[dtype], metric, args.k, args.threads)
            asked[f"batch {dtype}"] = spread(rows, args.batch_rows or BATCH_ROWS.get(metric, rows))
        # One thread a process, which a new process reads when it starts; forked, OpenMP may hang.
        limit_threads(1)
        for dtype in DTYPES:
            pool = multiprocessing.get_context("spawn").Pool(args.threads, start_worker, (paths[dtype], metric))
            pools.append(pool)
            contestants[f"per-sample {dtype}"] = per_sample_contestant(pool, args.k)
            asked[f"per-sample {dtype}"] = spread(rows, args.per_sample_rows)
            # Until every process is ready; the first answer may come before the last has started.
            pool.map(score_sample, [(0, 1)] * 8 * args.threads, chunksize=1)
        limit_threads(args.threads)
        times, differences = compete(contestants, asked, args.repeats, noise(data["float64"], metric))
    finally:
        for pool in pools:
            pool.terminate()
    report(metric, rows, times, asked, differences)


def main():
    """Loads the data, lets the contestants run metric by metric, tells the times."""
    args = parse_args()
    limit_threads(args.threads)
    try:
        import numpy as np
        import sklearn
        import threadpoolctl  # noqa: F401
    except ImportError as error:
        sys.exit(f"{error}: pip install numpy scikit-learn")

    rows = load(args.embeddings, args.dim, args.rows)
    print(
        f"{args.embeddings.name}: {len(rows):,} rows, dim {args.dim}, k {args.k}, {args.threads} threads, "
        f"median of {args.repeats} interleaved rounds, scikit-learn {sklearn.__version__}"
    )
    # Read before the contestants load the machine themselves.
    print(f"load average before: {os.getloadavg()[0]:.2f} on {os.cpu_count()} cores", flush=True)
    with tempfile.TemporaryDirectory(prefix="knnscope-peers-") as folder:
        data = {dtype: np.ascontiguousarray(rows, dtype=dtype) for dtype in DTYPES}
        paths = {dtype: Path(folder) / f"{dtype}.npy" for dtype in DTYPES}
        for dtype in DTYPES:
            np.save(paths[dtype], data[dtype])
        for metric in args.metrics:
            contest(args, metric, paths["float32"], paths, data)


if __name__ == "__main__":
    main()
