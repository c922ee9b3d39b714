#!/usr/bin/env python3
"""Times Hamming distances of all pairs of columns of a pruned matrix by knnscope and torch, interleaved.

- `knnscope`: the seconds that `knnscope sparsity` tells for all pairs; `knnscope, whole process`: everything
  from start to exit, reading the file included.
- `torch distances`: the mask as float32 and its matmul with itself, in blocks of columns, so that all matrices
  stay under 1 GB at the default size: (sums_i + sums_j - 2 overlap_ij) / rows, of all columns by all columns.
- `torch distances, i < j`: the same, leaving out blocks below the diagonal: about half the work.
- `torch counts, nearest`: as `torch distances`, then the pairs by their distance and the k nearest of each column.

Not timed for torch: starting Python, imports, reading. Results of torch are checked against rows counted one
by one for some pairs, the number of pairs that knnscope tells against that of the matrix.
"""

import argparse
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

# What knnscope tells, as in "60,582,528 pairs in 0.23 s".
TOLD = re.compile(r"([\d,]+) pairs in ([\d.]+) (ms|s)")
# Largest difference of a distance that float32 rounding explains.
TOLERANCE = 1e-6
# Pairs of the last block that are checked.
CHECKED_PAIRS = 1_000
# Idle threads of OpenMP spin for a while; nobody is timed meanwhile.
PAUSE_SECS = 0.3


def parse_args():
    """Reads the flags."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=4_096, help="rows of the matrix [4096]")
    parser.add_argument("--columns", type=int, default=11_008, help="columns, which are compared [11008]")
    parser.add_argument("--sparsity", type=float, default=0.5, help="share of zeros [0.5]")
    parser.add_argument("--k", type=int, default=8, help="nearest of each column, itself among them [8]")
    parser.add_argument("--block", type=int, default=1_024, help="columns of a block of torch [1024]")
    parser.add_argument("--threads", type=int, default=2, help="threads of each [2]")
    parser.add_argument("--repeats", type=int, default=3, help="rounds after the warm-up [3]")
    parser.add_argument("--knnscope", default="knnscope", metavar="PATH", help="the program [knnscope on PATH]")
    parser.add_argument("--torch-only", action="store_true", help="leave knnscope out")
    args = parser.parse_args()
    for name in ("rows", "k", "block", "threads", "repeats"):
        if getattr(args, name) < 1:
            parser.error(f"--{name}: expected at least 1, found {getattr(args, name)}")
    if args.columns < max(2, args.k):
        parser.error(f"--columns: expected at least 2 and --k, found {args.columns}")
    if not 0 < args.sparsity < 1:
        parser.error(f"--sparsity: expected more than 0 and less than 1, found {args.sparsity}")
    found = shutil.which(args.knnscope)
    if found is None and not args.torch_only:
        parser.error(f"--knnscope: there is no program {args.knnscope}")
    args.knnscope = found
    return args


def limit_threads(threads):
    """Limits the threads of every library and of knnscope; only works before they are imported or started."""
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS"):
        os.environ[name] = str(threads)


def generate(rows, columns, sparsity):
    """Seeded normal weights, the smallest of them pruned."""
    import torch

    threshold = statistics.NormalDist().inv_cdf((1 + sparsity) / 2)
    weights = torch.randn(rows, columns, generator=torch.Generator().manual_seed(42))
    return weights.masked_fill_(weights.abs() < threshold, 0.0)


def fail(message):
    """Ends the program with `message`, on a line of its own below the progress."""
    sys.exit(f"\n{message}")


def differing_rows(weights, block, half):
    """Blocks of the columns by all columns: first column of each axis, and the rows in which they differ.

    With `half` the second axis starts where the block does. The counts are whole numbers, exact in float32,
    and in the same memory block after block.
    """
    import torch

    columns = weights.shape[1]
    mask = (weights != 0).float()
    sums = mask.sum(0)
    memory = torch.empty(min(block, columns) * columns)
    for first in range(0, columns, block):
        last = min(first + block, columns)
        start = first if half else 0
        overlap = memory[: (last - first) * (columns - start)].view(last - first, columns - start)
        torch.mm(mask[:, first:last].T, mask[:, start:], out=overlap)
        yield first, start, overlap.mul_(-2).add_(sums[start:]).add_(sums[first:last, None])


def distances_contestant(weights, block, half):
    """Distances alone."""
    import torch

    rows = len(weights)

    def run():
        with torch.inference_mode():
            started = time.perf_counter()
            for first, start, counts in differing_rows(weights, block, half):
                distances = counts.div_(rows)
            secs = time.perf_counter() - started
            verify(weights, first, start, distances)
        return secs

    return run


def counts_contestant(weights, block, k):
    """Distances, how many pairs i < j have each, and the k smallest of each column with their columns."""
    import torch

    rows, columns = weights.shape

    def run():
        with torch.inference_mode():
            started = time.perf_counter()
            histogram, nearest = torch.zeros(rows + 1, dtype=torch.int64), []
            for first, start, counts in differing_rows(weights, block, False):
                histogram += torch.bincount(counts.int().view(-1), minlength=rows + 1)
                distances = counts.div_(rows)
                nearest.append(distances.topk(k, dim=1, largest=False))
            # Each pair was counted twice, and each column with itself.
            histogram[0] -= columns
            histogram //= 2
            values, found = (torch.cat(part) for part in zip(*nearest))
            secs = time.perf_counter() - started
            verify(weights, first, start, distances)
            verify(weights, 0, 0, values, found)
        if int(histogram.sum()) != columns * (columns - 1) // 2:
            fail(f"WRONG: torch counted {int(histogram.sum()):,} pairs")
        return secs

    return run


def verify(weights, first, start, distances, others=None):
    """Ends the program unless some distances are those of rows counted one by one.

    Distance [i, j] is of column `first + i` and column `start + j`, or `others[i, j]` if given.
    """
    import torch

    rows = len(weights)
    for pick in torch.randint(distances.numel(), (CHECKED_PAIRS,)).tolist():
        i, j = divmod(pick, distances.shape[1])
        one, other = first + i, start + j if others is None else int(others[i, j])
        expected = int(((weights[:, one] != 0) != (weights[:, other] != 0)).sum()) / rows
        # Written so that NaN is wrong too.
        if not abs(float(distances[i, j]) - expected) <= TOLERANCE:
            fail(f"WRONG: columns {one} and {other}: {float(distances[i, j])} by torch, {expected} counted")


def knnscope_contestant(args, path, folder):
    """`knnscope sparsity` without permutations: the seconds it tells, and those of the whole process."""
    pairs = args.columns * (args.columns - 1) // 2

    def run():
        with tempfile.TemporaryDirectory(dir=folder) as fresh:
            command = [args.knnscope, "sparsity", path, "--permutations", 0, "--db-path", Path(fresh) / "sparsity.db"]
            started = time.perf_counter()
            done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
            wall = time.perf_counter() - started
        if done.returncode != 0:
            fail(f"knnscope ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        told = TOLD.search(done.stdout) or TOLD.search(done.stderr)
        if told is None:
            fail(f"knnscope tells no pairs and seconds:\n{done.stdout}{done.stderr}")
        if int(told[1].replace(",", "")) != pairs:
            fail(f"WRONG: knnscope tells {told[1]} pairs, there are {pairs:,}")
        secs = float(told[2]) / (1000 if told[3] == "ms" else 1)
        if secs <= 0:
            fail("too little work: the seconds that knnscope tells are 0")
        return {"knnscope": secs, "knnscope, whole process": wall}

    return run


def torch_contestants(args, weights):
    """The contestants of torch by name."""
    runs = {
        "torch distances": distances_contestant(weights, args.block, False),
        "torch distances, i < j": distances_contestant(weights, args.block, True),
        "torch counts, nearest": counts_contestant(weights, args.block, args.k),
    }
    # Bound as a default, as each has its own.
    return {name: lambda name=name, run=run: {name: run()} for name, run in runs.items()}


def compete(contestants, repeats):
    """A warm-up, then rounds in which each contestant runs once in turn. Returns the seconds of each figure."""
    times = {}
    for turn in range(repeats + 1):
        print(f"round {turn} of {repeats}" if turn else "warm-up", end="", file=sys.stderr, flush=True)
        for run in contestants.values():
            time.sleep(PAUSE_SECS)
            for figure, secs in run().items():
                print(f"  {figure} {secs:.3f}", end="", file=sys.stderr, flush=True)
                times.setdefault(figure, [])
                if turn:
                    times[figure].append(secs)
        print(file=sys.stderr)
    return times


def report(times):
    """Prints the table."""
    medians = {name: statistics.median(secs) for name, secs in times.items()}
    compute, whole = medians.get("knnscope"), medians.get("knnscope, whole process")
    heads = "" if compute is None else f"{'÷ knnscope':>12}{'÷ whole':>9}"
    print(f"\n{'':24}{'median s':>10}{'min':>9}{'max':>9}{heads}")
    for name, secs in times.items():
        ratios = "" if compute is None else f"{medians[name] / compute:12.2f}{medians[name] / whole:9.2f}"
        print(f"{name:24}{medians[name]:10.3f}{min(secs):9.3f}{max(secs):9.3f}{ratios}")


def main():
    """Makes the matrix, lets the contestants run, tells the times."""
    args = parse_args()
    limit_threads(args.threads)
    try:
        import torch
    except ImportError as error:
        sys.exit(f"{error}: pip install torch")

    torch.set_num_threads(args.threads)
    weights = generate(args.rows, args.columns, args.sparsity)
    zeros = 1 - int(torch.count_nonzero(weights)) / weights.numel()
    print(
        f"{args.rows:,} × {args.columns:,} float32, {zeros:.1%} zeros, {args.columns * (args.columns - 1) // 2:,} pairs of "
        f"columns, {args.threads} threads, median of {args.repeats} interleaved rounds, torch {torch.__version__}"
    )
    # Read before the contestants load the machine themselves.
    print(f"load average before: {os.getloadavg()[0]:.2f} on {os.cpu_count()} cores", flush=True)
    with tempfile.TemporaryDirectory(prefix="knnscope-peers-") as folder:
        contestants = {}
        if not args.torch_only:
            path = Path(folder) / "weights.pt"
            torch.save(weights, path)
            contestants["knnscope"] = knnscope_contestant(args, path, folder)
        contestants |= torch_contestants(args, weights)
        times = compete(contestants, args.repeats)
    report(times)


if __name__ == "__main__":
    main()
