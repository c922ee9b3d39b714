#!/usr/bin/env python3
"""Lets another library search, and writes what it finds as a neighbour file for `knnscope index judge`.

    neighbours.py hnswlib --docs docs.vec --queries queries.vec --dim 384 --ef 64 --output hnswlib.jsonl
    knnscope index judge --docs docs.vec --queries queries.vec --dim 384 --neighbors hnswlib.jsonl -o lab

Each query is asked alone, on one thread, and its latency stands beside its ids. Libraries: hnswlib, usearch, annoy,
faiss (a factory string), scann (pip install the one that is wanted, and numpy; scann also wants protobuf).
"""

import argparse
import json
import time

import numpy as np


def parse_args():
    """Reads the flags."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("library", choices=["hnswlib", "usearch", "annoy", "faiss", "scann"])
    parser.add_argument("--docs", required=True, help="flat float32 vectors")
    parser.add_argument("--queries", required=True, help="flat float32 vectors")
    parser.add_argument("--dim", type=int, required=True)
    parser.add_argument("--num-docs", type=int, help="the first docs of the file [all]")
    parser.add_argument("--num-queries", type=int, help="the first queries of the file [all]")
    parser.add_argument("--top-k", type=int, default=100, help="neighbours of each query [100]")
    parser.add_argument("--metric", choices=["dot", "cosine", "euclidean"], default="dot")
    parser.add_argument("--m", type=int, default=16, help="links of a node of hnswlib and usearch [16]")
    parser.add_argument("--ef-construction", type=int, default=40, help="of hnswlib and usearch [40]")
    parser.add_argument("--ef", type=int, default=64, help="candidates of a search of hnswlib and usearch [64]")
    parser.add_argument("--trees", type=int, default=20, help="trees of annoy [20]")
    parser.add_argument("--search-k", type=int, default=-1, help="nodes that annoy looks at [top-k times trees]")
    parser.add_argument("--factory", default="HNSW16,Flat", help="factory string of faiss [HNSW16,Flat]")
    parser.add_argument("--parameters", default="", help="search parameters of faiss, like nprobe=8")
    parser.add_argument("--leaves", type=int, default=256, help="leaves of scann [256]")
    parser.add_argument("--leaves-to-search", type=int, default=16, help="of scann [16]")
    parser.add_argument("--output", required=True, help="neighbour file to write (.jsonl)")
    return parser.parse_args()


def load(path, dim, count):
    """Rows of a flat file."""
    values = np.fromfile(path, dtype="<f4")
    if values.size % dim:
        raise SystemExit(f"{path}: {values.size} values are no whole number of rows of dim {dim}")
    return values.reshape(-1, dim)[:count]


def hnswlib_searcher(args, docs):
    """hnswlib, on one thread."""
    import hnswlib

    space = {"dot": "ip", "cosine": "cosine", "euclidean": "l2"}[args.metric]
    index = hnswlib.Index(space=space, dim=args.dim)
    index.init_index(max_elements=len(docs), M=args.m, ef_construction=args.ef_construction)
    index.add_items(docs)
    index.set_ef(max(args.ef, args.top_k))
    index.set_num_threads(1)
    return lambda query: index.knn_query(query, k=args.top_k)[0][0]


def usearch_searcher(args, docs):
    """usearch, on one thread."""
    from usearch.index import Index

    metric = {"dot": "ip", "cosine": "cos", "euclidean": "l2sq"}[args.metric]
    index = Index(
        ndim=args.dim,
        metric=metric,
        connectivity=args.m,
        expansion_add=args.ef_construction,
        expansion_search=max(args.ef, args.top_k),
    )
    index.add(np.arange(len(docs)), docs)
    return lambda query: index.search(query, args.top_k, threads=1).keys


def annoy_searcher(args, docs):
    """Annoy."""
    from annoy import AnnoyIndex

    kind = {"dot": "dot", "cosine": "angular", "euclidean": "euclidean"}[args.metric]
    index = AnnoyIndex(args.dim, kind)
    index.set_seed(1)
    for row, vector in enumerate(docs):
        index.add_item(row, vector)
    index.build(args.trees)
    return lambda query: index.get_nns_by_vector(query, args.top_k, search_k=args.search_k)


def faiss_searcher(args, docs):
    """FAISS from PyPI, searched on one thread."""
    import faiss

    is_l2 = args.metric == "euclidean"
    index = faiss.index_factory(args.dim, args.factory, faiss.METRIC_L2 if is_l2 else faiss.METRIC_INNER_PRODUCT)
    normalise = args.metric == "cosine"
    docs = docs.copy()
    if normalise:
        faiss.normalize_L2(docs)
    index.train(docs)
    index.add(docs)
    if args.parameters:
        faiss.ParameterSpace().set_index_parameters(index, args.parameters)
    faiss.omp_set_num_threads(1)

    def search(query):
        query = query[None].copy()
        if normalise:
            faiss.normalize_L2(query)
        return index.search(query, args.top_k)[1][0]

    return search


def scann_searcher(args, docs):
    """ScaNN."""
    import scann

    measure = "squared_l2" if args.metric == "euclidean" else "dot_product"
    if args.metric == "cosine":
        docs = docs / np.linalg.norm(docs, axis=1, keepdims=True)
    builder = scann.scann_ops_pybind.builder(docs, args.top_k, measure)
    builder = builder.tree(args.leaves, args.leaves_to_search, training_sample_size=len(docs))
    index = builder.score_ah(2, anisotropic_quantization_threshold=0.2).reorder(4 * args.top_k).build()
    return lambda query: index.search(query)[0]


def main():
    """Builds, searches query by query, writes."""
    args = parse_args()
    docs = load(args.docs, args.dim, args.num_docs)
    queries = load(args.queries, args.dim, args.num_queries)
    searchers = {
        "hnswlib": hnswlib_searcher,
        "usearch": usearch_searcher,
        "annoy": annoy_searcher,
        "faiss": faiss_searcher,
        "scann": scann_searcher,
    }
    started = time.perf_counter()
    search = searchers[args.library](args, docs)
    print(f"{args.library}: built in {time.perf_counter() - started:.2f} s")
    for query in queries[:50]:
        search(query)
    total = 0.0
    with open(args.output, "w", encoding="utf-8") as output:
        for query in queries:
            started = time.perf_counter()
            ids = search(query)
            secs = time.perf_counter() - started
            total += secs
            line = {"ids": [int(found) for found in ids], "latency_ms": secs * 1e3}
            output.write(json.dumps(line) + "\n")
    print(f"{args.library}: {len(queries) / total:.0f} queries a second on one thread, in {args.output}")


if __name__ == "__main__":
    main()
