#!/usr/bin/env python3
"""Times exact top-k scoring of the same work by knnscope, numpy, faiss and torch, interleaved.

See README.md beside this file.
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

# Largest difference of a score that float32 rounding explains, for vectors of unit norm.
TOLERANCE = 1e-5
# Queries per matmul: the replaced tool's default, and what suits torch.
NUMPY_BATCH = 200
TORCH_BATCH = 1000
# Idle threads of OpenBLAS and OpenMP spin for a while; nobody is timed meanwhile.
PAUSE_SECS = 0.3
# Without --docs.
GENERATED_DOCS = 100_000
GENERATED_QUERIES = 2_000


def parse_args():
    """Reads the flags."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--docs", type=Path, help="doc vectors (.vec); without it, data is generated")
    parser.add_argument("--queries", type=Path, help="query vectors (.vec)")
    parser.add_argument("--dim", type=int, default=384)
    parser.add_argument("--num-docs", type=int, help=f"first docs of the file [all; {GENERATED_DOCS} generated]")
    parser.add_argument("--num-queries", type=int, help=f"first queries of the file [all; {GENERATED_QUERIES} generated]")
    parser.add_argument("--top-k", type=int, default=100)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5, help="rounds after the warm-up")
    parser.add_argument("--knnscope", default="knnscope", metavar="PATH", help="the program [knnscope on PATH]")
    parser.add_argument("--kernels", nargs="*", default=["f32"], help="kernels of knnscope beside auto [f32]")
    parser.add_argument("--json", type=Path, metavar="OUT", help="write all times here too")
    args = parser.parse_args()
    if (args.docs is None) != (args.queries is None):
        parser.error("--docs and --queries come together")
    for name in ("dim", "num_docs", "num_queries", "top_k", "threads", "repeats"):
        value = getattr(args, name)
        if value is not None and value < 1:
            parser.error(f"--{name.replace('_', '-')}: expected at least 1, found {value}")
    found = shutil.which(args.knnscope)
    if found is None:
        parser.error(f"--knnscope: there is no program {args.knnscope}")
    args.knnscope = found
    return args


def limit_threads(threads):
    """Limits the threads of every library; only works before they are imported."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(threads)


def generate(folder, dim, num_docs, num_queries):
    """Writes docs and queries of one seeded, low-rank mix of Gaussians, of unit norm."""
    import numpy as np

    rng = np.random.default_rng(42)
    rank, clusters = max(1, dim // 6), 64
    basis = rng.standard_normal((rank, dim), dtype=np.float32)
    centres = rng.standard_normal((clusters, rank), dtype=np.float32)
    paths = []
    for name, count in (("docs", num_docs), ("queries", num_queries)):
        path = folder / f"generated.{name}.vec"
        with open(path, "wb") as file:
            for first in range(0, count, 10_000):
                rows = min(10_000, count - first)
                latent = centres[rng.integers(clusters, size=rows)]
                latent = latent + rng.standard_normal((rows, rank), dtype=np.float32)
                vectors = latent @ basis + rng.standard_normal((rows, dim), dtype=np.float32)
                vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
                vectors.astype("<f4").tofile(file)
        paths.append(path)
    return paths


def load(path, dim, wanted):
    """The first `wanted` rows (all if None) of a .vec file."""
    import numpy as np

    size = path.stat().st_size
    if size % (4 * dim):
        sys.exit(f"{path}: {size} bytes are no whole number of rows of dim {dim}")
    rows = size // (4 * dim)
    wanted = rows if wanted is None else wanted
    if wanted > rows:
        sys.exit(f"{path}: {wanted} rows are wanted, it has {rows}")
    return np.fromfile(path, dtype="<f4", count=wanted * dim).reshape(wanted, dim)


def fail(message):
    """Ends the program with `message`, on a line of its own below the progress."""
    sys.exit(f"\n{message}")


def numpy_contestant(docs, queries, top_k):
    """What the replaced tool does: matmul, argpartition, batches of 200."""
    import numpy as np

    def run():
        started = time.perf_counter()
        kept = []
        for first in range(0, len(queries), NUMPY_BATCH):
            scores = queries[first : first + NUMPY_BATCH] @ docs.T
            top = np.argpartition(scores, -top_k, axis=1)[:, -top_k:]
            kept.append(np.take_along_axis(scores, top, axis=1).astype(np.float32))
        secs = time.perf_counter() - started
        return {"numpy": secs}, np.concatenate(kept)

    return run


def faiss_contestant(docs, queries, top_k, threads):
    """IndexFlatIP; adding the docs is not timed."""
    import faiss

    faiss.omp_set_num_threads(threads)
    index = faiss.IndexFlatIP(docs.shape[1])
    index.add(docs)

    def run():
        started = time.perf_counter()
        scores, _ = index.search(queries, top_k)
        return {"faiss": time.perf_counter() - started}, scores

    return run


def torch_contestant(docs, queries, top_k, threads):
    """Matmul and topk, batches of 1000."""
    import torch

    torch.set_num_threads(threads)
    docs, queries = torch.from_numpy(docs), torch.from_numpy(queries)

    def run():
        with torch.inference_mode():
            started = time.perf_counter()
            kept = []
            for first in range(0, len(queries), TORCH_BATCH):
                scores = queries[first : first + TORCH_BATCH] @ docs.T
                kept.append(torch.topk(scores, top_k, dim=1).values)
            secs = time.perf_counter() - started
            return {"torch": secs}, torch.cat(kept).numpy()

    return run


def knnscope_contestant(args, kernel, docs_path, queries_path, num_docs, num_queries):
    """`knnscope score` into a fresh folder: the time in its manifest, and that of the whole process."""
    name = "knnscope" if kernel == "auto" else f"knnscope, {kernel}"
    import numpy as np

    def run():
        with tempfile.TemporaryDirectory(prefix="knnscope-peers-") as folder:
            output = Path(folder) / "scores"
            command = [args.knnscope, "score", "--docs", docs_path, "--queries", queries_path]
            command += ["--dim", args.dim, "--num-docs", num_docs, "--top-k", args.top_k, "-N", num_queries, "-M", 1]
            command += ["--threads", args.threads, "--quiet", "--no-ids", "--kernel", kernel]
            command += ["--output-dir", output]
            started = time.perf_counter()
            done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
            wall = time.perf_counter() - started
            if done.returncode != 0:
                fail(f"knnscope ended with {done.returncode}:\n{done.stdout}{done.stderr}")
            (record,) = json.loads((output / "manifest.json").read_text(encoding="utf-8"))["runs"]
            scores = np.fromfile(output / record["file"], dtype="<f4")
        if scores.size != num_queries * args.top_k:
            fail(f"WRONG: knnscope wrote {scores.size} scores, expected {num_queries} × {args.top_k}")
        if record["elapsedSec"] <= 0:
            fail("too little work: knnscope's elapsedSec, in milliseconds, is 0")
        scores = scores.reshape(num_queries, args.top_k)
        if (scores[:, 1:] > scores[:, :-1]).any():
            fail("WRONG: knnscope's scores of a query are not descending")
        secs = {name: record["elapsedSec"]}
        return secs | ({"knnscope, whole process": wall} if kernel == "auto" else {}), scores

    return run


def verify(name, scores, expected):
    """Ends the program unless the sorted scores of every query agree; the largest difference."""
    import numpy as np

    if scores.shape != expected.shape:
        fail(f"WRONG: {name} found {scores.shape} scores, numpy {expected.shape}")
    difference = np.abs(np.sort(scores, axis=1).astype(np.float64) - np.sort(expected, axis=1))
    largest = float(difference.max())
    # Written so that NaN is wrong too.
    if not largest <= TOLERANCE:
        row = int(np.argmax(np.nan_to_num(difference, nan=np.inf).max(axis=1)))
        fail(
            f"WRONG: scores of {name} and numpy differ by {largest:.3g} in query {row}; allowed are {TOLERANCE:g} "
            "(meant for vectors of unit norm)"
        )
    return largest


def compete(contestants, repeats):
    """One warm-up, then rounds in which each contestant runs once in turn; checks every result.

    `contestants` starts with numpy, which the others are checked against. Returns the seconds of each
    figure and the largest differences.
    """
    times, differences = {}, {}
    for turn in range(repeats + 1):
        print(f"round {turn} of {repeats}" if turn else "warm-up", end="", file=sys.stderr, flush=True)
        expected = None
        for name, run in contestants.items():
            time.sleep(PAUSE_SECS)
            secs, scores = run()
            print("".join(f"  {figure} {value:.3f}" for figure, value in secs.items()), end="", file=sys.stderr, flush=True)
            if expected is None:
                expected = scores
            else:
                differences[name] = max(differences.get(name, 0.0), verify(name, scores, expected))
            for figure, value in secs.items():
                times.setdefault(figure, [])
                if turn:
                    times[figure].append(value)
        print(file=sys.stderr)
    return times, differences


def report(times, differences, skipped):
    """Prints the table."""
    compute = statistics.median(times["knnscope"])
    wall = statistics.median(times["knnscope, whole process"])
    print(f"\n{'':24}{'median s':>10}{'min':>9}{'max':>9}{'÷ knnscope':>12}{'÷ whole':>9}")
    for name, secs in times.items():
        median = statistics.median(secs)
        print(f"{name:24}{median:10.3f}{min(secs):9.3f}{max(secs):9.3f}{median / compute:12.2f}{median / wall:9.2f}")
    for name, reason in skipped.items():
        print(f"{name:24}   SKIPPED: {reason}")
    found = ", ".join(f"{name} {difference:.2g}" for name, difference in differences.items())
    print(f"\nscores agree with numpy's; largest differences: {found}")


def versions():
    """Versions of the libraries that take part."""
    modules = {name: sys.modules.get(name) for name in ("numpy", "faiss", "torch")}
    return {name: str(module.__version__) for name, module in modules.items() if module is not None}


def main():
    """Loads or makes the data, lets the contestants run, tells the times."""
    args = parse_args()
    limit_threads(args.threads)
    try:
        import numpy  # noqa: F401
    except ImportError:
        sys.exit("numpy is missing: pip install -r requirements.txt")

    with tempfile.TemporaryDirectory(prefix="knnscope-peers-") as folder:
        docs_path, queries_path = args.docs, args.queries
        if docs_path is None:
            sizes = args.num_docs or GENERATED_DOCS, args.num_queries or GENERATED_QUERIES
            docs_path, queries_path = generate(Path(folder), args.dim, *sizes)
        docs = load(docs_path, args.dim, args.num_docs)
        queries = load(queries_path, args.dim, args.num_queries)
        if args.top_k > len(docs):
            sys.exit(f"--top-k {args.top_k} is more than {len(docs)} docs")
        print(
            f"{docs_path.name}: {len(docs):,} docs × {len(queries):,} queries, dim {args.dim}, top-{args.top_k}, "
            f"{args.threads} threads, median of {args.repeats} interleaved rounds"
        )
        # Read before the contestants load the machine themselves.
        load_before = os.getloadavg()[0]
        print(f"load average before: {load_before:.2f} on {os.cpu_count()} cores")

        contestants = {"numpy": numpy_contestant(docs, queries, args.top_k)}
        skipped = {}
        for name, make in (("faiss", faiss_contestant), ("torch", torch_contestant)):
            try:
                contestants[name] = make(docs, queries, args.top_k, args.threads)
            except ImportError as error:
                skipped[name] = str(error)
        for kernel in ["auto", *args.kernels]:
            contestants[f"knnscope {kernel}"] = knnscope_contestant(
                args, kernel, docs_path, queries_path, len(docs), len(queries)
            )
        times, differences = compete(contestants, args.repeats)

    report(times, differences, skipped)
    if args.json:
        outcome = {
            "docsFile": docs_path.name,
            "generated": args.docs is None,
            "dim": args.dim,
            "numDocs": len(docs),
            "numQueries": len(queries),
            "topK": args.top_k,
            "threads": args.threads,
            "repeats": args.repeats,
            "machine": platform.machine(),
            "cores": os.cpu_count(),
            "loadBefore": load_before,
            "versions": versions(),
            "skipped": skipped,
            "seconds": times,
            "medians": {name: statistics.median(secs) for name, secs in times.items()},
            "largestDifferences": differences,
        }
        args.json.write_text(json.dumps(outcome, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
