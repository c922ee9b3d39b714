"""Writes golden.json: figures of a seeded binary matrix, each straight from its definition by numpy.

    python3 golden.py [FOLDER]        (its own folder unless told; needs numpy)

The distance of two columns is the share of rows in which they differ. The columns nearest to a column are
all columns, itself among them, by ascending distance, equal ones by ascending index.
"""
import argparse
import json
import math
from collections import Counter
from fractions import Fraction
from pathlib import Path

import numpy as np

ROWS, COLUMNS, GROUP = 96, 42, 8
SAMPLED, NEIGHBOURS = [0, 5, 11, 17, 23, 30, 37, 41], (8, 5)
ZERO_ROWS, ONE_ROWS = [6, 40, 77], [13, 50, 91]
COPIES = {11: [3], 23: [9, 40], 0: [38]}  # a column: its copies
RELATED = {5: [4, 7, 20], 17: [16, 29], 30: [31, 33, 35], 41: [22]}  # a column: others like it but for a few rows
# Rows that are thin on purpose: columns, modulo a number, in which they have ones.
THIN_ROWS = {2: (4, {0, 1}), 25: (4, {1, 3}), 60: (4, {2}), 33: (8, {0, 1, 2, 5}), 85: (8, {1, 2, 3, 5})}
PRUNED = {12: (2, 4), 26: (2, 4), 19: (4, 8)}  # columns with that many ones in each block
SPARSEST, DENSEST = 15, 13

rng = np.random.default_rng(96)


def make_matrix():
    """Columns of densities from 0.05 to 0.95, some alike, with some special rows and columns."""
    matrix = np.zeros((ROWS, COLUMNS), dtype=np.uint8)
    matrix[ONE_ROWS] = 1
    for row, (modulus, kept) in THIN_ROWS.items():
        matrix[row] = [column % modulus in kept for column in range(COLUMNS)]
        # What is copied is 0 there, so that copies do not make the row less thin.
        matrix[row, list(COPIES)] = 0
    free = [row for row in range(ROWS) if row not in [*ZERO_ROWS, *ONE_ROWS, *THIN_ROWS]]

    between = [int(column) for column in rng.permutation(COLUMNS) if column not in (SPARSEST, DENSEST)]
    for column, density in zip([SPARSEST, *between, DENSEST], np.linspace(0.05, 0.95, COLUMNS)):
        missing = round(density * ROWS) - int(matrix[:, column].sum())
        matrix[rng.choice(free, min(max(missing, 0), len(free)), replace=False), column] = 1
    for column, (n, m) in PRUNED.items():
        matrix[free, column] = 0
        for start in range(0, ROWS, m):
            block = [row for row in range(start, start + m) if row in free]
            missing = n - int(matrix[start : start + m, column].sum())
            matrix[rng.choice(block, min(missing, len(block)), replace=False), column] = 1
    for source, targets in RELATED.items():
        for number, target in enumerate(targets):
            matrix[free, target] = matrix[free, source]
            # As many rows for two of them each, so that there are equal distances.
            matrix[rng.choice(free, 4 + 3 * (number // 2), replace=False), target] ^= 1
    for source, targets in COPIES.items():
        for target in targets:
            matrix[:, target] = matrix[:, source]
    return matrix


def text(matrix):
    """One string a row."""
    return ["".join(str(entry) for entry in row) for row in matrix]


def differing(matrix, one, other):
    """Number of rows in which two columns differ."""
    return int(np.sum(matrix[:, one] != matrix[:, other]))


def nearest(matrix, column, among, k):
    """The k columns of `among` nearest to `column`, which is one of them."""
    return sorted(among, key=lambda other: (differing(matrix, column, other), other))[:k]


def metrics(matrix, columns):
    """Figures of some columns, side by side."""
    rows, k = len(matrix), len(columns)
    part = matrix[:, columns]
    square = [differing(part, i, j) / rows for i in range(k) for j in range(k)]
    pairs = [differing(part, i, j) for i in range(k) for j in range(i + 1, k)]
    distances = np.array(pairs) / rows
    counts = Counter(text(part))
    repeated = [count for count in counts.values() if count > 1]
    total_dups = sum(count - 1 for count in repeated)
    return {
        "mean_pairwise_distance": math.fsum(square) / k**2,
        "mean_pair_distance": math.fsum(distances) / len(pairs),
        "std_pair_distance": float(np.std(distances)),
        "zeros": counts["0" * k],
        "ones": counts["1" * k],
        "duplicates": len(repeated),
        "total_dups": total_dups,
        "unique_rows": rows - total_dups,
        "density": int(part.sum()) / part.size,
        "cdf": [[d / rows, sum(pair <= d for pair in pairs) / len(pairs)] for d in sorted(set(pairs))],
    }


def sampled(matrix):
    """Some columns with their nearest."""
    found = []
    for k in NEIGHBOURS:
        for column in SAMPLED:
            columns = nearest(matrix, column, range(COLUMNS), k)
            found.append({"column": column, "k": k, "nearest": columns, "metrics": metrics(matrix, columns)})
    return found


def exhaustive(matrix):
    """All columns in groups: the first left of a given order, with the nearest of those left."""
    order = [int(column) for column in rng.permutation(COLUMNS)]
    left, groups = list(order), []
    while left:
        columns = nearest(matrix, left[0], left, GROUP)
        left = [column for column in left if column not in columns]
        groups.append({"columns": columns, "metrics": metrics(matrix, columns)})
    return {"group_size": GROUP, "order": order, "groups": groups}


def pair_histogram(matrix):
    """Pairs of columns by the number of rows in which they differ."""
    counts = [0] * (ROWS + 1)
    for i in range(COLUMNS):
        for j in range(i + 1, COLUMNS):
            counts[differing(matrix, i, j)] += 1
    return counts


def jaccard(matrix):
    """Ones in both by ones in either, of the matrix and another with 75 % the same cells."""
    other = matrix.copy()
    other.flat[rng.choice(matrix.size, matrix.size // 4, replace=False)] ^= 1
    both, either = matrix & other, matrix | other
    per_column = [int(both[:, c].sum()) / int(either[:, c].sum()) for c in range(COLUMNS)]
    return {"matrix": text(other), "all": int(both.sum()) / int(either.sum()), "per_column": per_column}


def blocks(line, n, m):
    """Of each block of m entries of a row or column: whether it has at most n ones; the last may be shorter."""
    return [int(line[start : start + m].sum()) <= n for start in range(0, len(line), m)]


def sparse_blocks(matrix, n, m):
    """How much of the matrix is n:m sparse."""
    by_row = [blocks(row, n, m) for row in matrix]
    by_column = [blocks(column, n, m) for column in matrix.T]
    return {
        "n": n,
        "m": m,
        "rows": sum(all(line) for line in by_row),
        "columns": sum(all(line) for line in by_column),
        "row_blocks": sum(map(sum, by_row)),
        "row_blocks_total": sum(map(len, by_row)),
        "column_blocks": sum(map(sum, by_column)),
        "column_blocks_total": sum(map(len, by_column)),
    }


def lower_tail(rows, a, b, d):
    """P(at most d of `rows` rows differ) for columns with a and b ones at random places, exactly."""
    ways = sum(
        math.comb(a, overlap) * math.comb(rows - a, b - overlap)
        for overlap in range(max(0, a + b - rows), min(a, b) + 1)
        if a + b - 2 * overlap <= d
    )
    return Fraction(ways, math.comb(rows, b))


def hypergeometric():
    """Cases [rows, a, b, d, p]."""
    cases = [
        # No choice: a column of zeros or ones.
        (10, 0, 0, 0), (10, 0, 4, 3), (10, 0, 4, 4), (10, 10, 4, 5), (10, 10, 4, 6),
        (64, 64, 64, 0), (64, 0, 64, 63), (64, 0, 64, 64), (4096, 0, 2048, 2048), (4096, 4096, 1, 4094),
        # Few rows; d of the wrong parity is as d - 1; d below |a - b| is impossible; the largest d is certain.
        (10, 5, 5, 0), (10, 5, 5, 4), (10, 5, 5, 5), (10, 3, 7, 3), (10, 3, 7, 4), (10, 3, 7, 10),
        (11, 1, 1, 0), (11, 1, 10, 9),
        # Equal columns, and about the middle.
        (96, 48, 48, 0), (96, 48, 48, 48), (96, 30, 60, 40), (96, 5, 91, 90),
        (100, 50, 50, 30), (100, 20, 35, 15), (257, 100, 120, 100),
        # Many rows: the middle, tails and far tails; the last is too small for a float64 and given as 0.
        (1000, 500, 500, 500), (1000, 500, 500, 420), (1000, 500, 500, 320), (1000, 300, 450, 200),
        (1000, 10, 10, 18), (4096, 2048, 2048, 2048), (4096, 2048, 2048, 1950), (4096, 2048, 2048, 1680),
        (4096, 2048, 2048, 1200), (4096, 1000, 3000, 2300), (4096, 1900, 2200, 1800), (4096, 2048, 2048, 2200),
        (4096, 40, 60, 50), (4095, 1365, 2730, 1900), (4096, 2048, 2048, 0),
    ]  # fmt: skip
    return [[*case, float(lower_tail(*case))] for case in cases]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=Path(__file__).resolve().parent)
    folder = parser.parse_args().folder
    matrix = make_matrix()
    golden = {
        "rows": ROWS,
        "columns": COLUMNS,
        "matrix": text(matrix),
        "sampled": sampled(matrix),
        "exhaustive": exhaustive(matrix),
        "pair_histogram": pair_histogram(matrix),
        "jaccard": jaccard(matrix),
        "nm": [sparse_blocks(matrix, n, m) for n, m in ((2, 4), (4, 8))],
        "hypergeometric": hypergeometric(),
    }
    (folder / "golden.json").write_text(json.dumps(golden, separators=(",", ":")) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
