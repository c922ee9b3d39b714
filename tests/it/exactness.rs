//! The engine against a naive double loop in float64: the same docs, the same bits.

use knnscope::compute::exact::{Engine, EngineSize, Filter, Shape, TopK, sample_queries};
use knnscope::compute::kernels::{Level, scalar};
use knnscope::compute::metric::Metric;
use knnscope::compute::vectors::VectorFile;
use knnscope::job::Monitor;
use proptest::prelude::*;

use crate::support::{Random, write_vectors};

fn naive(docs: &[f32], queries: &[f32], dim: usize, k: usize, metric: Metric) -> TopK {
    let mut result = TopK { scores: Vec::new(), docs: Vec::new() };
    let norm = |v: &[f32]| scalar::dot_f64(v, v).sqrt();
    for query in queries.chunks_exact(dim) {
        let mut scored: Vec<(f64, u32)> = docs
            .chunks_exact(dim)
            .zip(0..)
            .map(|(doc, row)| {
                let score = match metric {
                    Metric::Dot => scalar::dot_f64(query, doc),
                    Metric::Cosine => scalar::dot_f64(query, doc) / (norm(query) * norm(doc)),
                    Metric::Euclidean => scalar::squared_distance_f64(query, doc).sqrt(),
                };
                (score, row)
            })
            .collect();
        scored.sort_by(|a, b| metric.nearest_first(a.0, b.0).then(a.1.cmp(&b.1)));
        result.scores.extend(scored[..k].iter().map(|(score, _)| *score as f32));
        result.docs.extend(scored[..k].iter().map(|(_, doc)| *doc));
    }
    result
}

fn check(name: &str, docs: &[f32], queries: &[f32], dim: usize, k: usize) {
    let folder = tempfile::tempdir().expect("temporary folder");
    let path = folder.path().join("docs.vec");
    write_vectors(&path, docs);
    let file = VectorFile::open(&path, dim).expect("opens");
    // Sums of squares stay within float32.
    let has_axes = docs.iter().filter(|value| value.abs() > 1e15).count() < 2;
    for metric in Metric::ALL {
        let has_zero = docs.chunks_exact(dim).chain(queries.chunks_exact(dim)).any(|row| row.iter().all(|v| *v == 0.0));
        if metric == Metric::Cosine && has_zero {
            continue;
        }
        let expected = naive(docs, queries, dim, k, metric);
        for (name_of_way, size, threads, level) in ways(file.rows()) {
            // Axes of long vectors take long to find in a test.
            let finds_axes = matches!(size.filter, Filter::Int8(Shape::Prefix | Shape::Coded));
            if dim > 512 && metric != Metric::Dot && finds_axes {
                continue;
            }
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("a pool");
            let found = pool
                .install(|| {
                    let engine = Engine::new(&file, file.rows(), metric, k, size, level, queries, &Monitor::new())?;
                    if size.filter == Filter::Int8(Shape::Coded) && has_axes {
                        assert!(engine.stats().coded_as.contains("int8 products"), "{name} {metric}: {name_of_way}");
                    }
                    engine.top_k(queries, |row| row, &Monitor::new())
                })
                .expect("scores");
            assert_eq!(found.docs, expected.docs, "{name} {metric}: {name_of_way}");
            let bits = |scores: &[f32]| scores.iter().map(|score| score.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(&found.scores), bits(&expected.scores), "{name} {metric}: {name_of_way}");
        }
    }
}

/// Every way to the same answer: kernels, CPU levels, threads, docs kept or streamed in blocks.
fn ways(docs: usize) -> Vec<(&'static str, EngineSize, usize, Level)> {
    let size = |filter, docs_kept, block_docs| EngineSize {
        filter,
        pass_queries: 1000,
        docs_kept,
        queries: 1000,
        docs,
        block_docs,
        bytes: 0,
        budget: 0,
    };
    // AVX-512 has float32 tiles of its own, the lower levels multiply by faer.
    let best = Level::available().last().expect("scalar is always there");
    vec![
        ("tiles", size(Filter::Float32, true, docs), 1, best),
        ("tiles without norms", size(Filter::Float32, false, docs), 3, best),
        ("faer", size(Filter::Float32, true, docs), 3, Level::Avx2.min(best)),
        ("faer, scalar filter", size(Filter::Float32, false, docs), 1, Level::Scalar),
        ("int8", size(Filter::Int8(Shape::Plain), true, docs), 2, best),
        ("int8 in blocks", size(Filter::Int8(Shape::Plain), false, docs / 3 + 1), 3, best),
        ("int8, lower CPU", size(Filter::Int8(Shape::Plain), true, docs), 1, Level::Avx2.min(best)),
        ("int8 rotated", size(Filter::Int8(Shape::Rotated), true, docs), 2, best),
        ("int8 tuned", size(Filter::Int8(Shape::Auto), true, docs), 2, best),
        ("tuned", EngineSize { budget: 1 << 30, ..size(Filter::Int8(Shape::Auto), true, docs) }, 2, best),
        ("int8 whole", size(Filter::Int8(Shape::Whole), true, docs), 2, best),
        ("int8 compact in blocks", size(Filter::Int8(Shape::Compact), false, docs / 3 + 1), 2, best),
        ("int8 prefix", size(Filter::Int8(Shape::Prefix), true, docs), 2, best),
        ("int8 prefix, lower CPU", size(Filter::Int8(Shape::Prefix), true, docs), 1, Level::Avx2.min(best)),
        ("half of the axes, coded", size(Filter::Int8(Shape::Coded), true, docs), 2, best),
        ("half of the axes, coded, in blocks", size(Filter::Int8(Shape::Coded), false, docs / 2 + 1), 1, best),
        ("half of the axes, coded, lower CPU", size(Filter::Int8(Shape::Coded), true, docs), 1, Level::Avx2.min(best)),
        ("half of the axes, coded, scalar", size(Filter::Int8(Shape::Coded), true, docs), 1, Level::Scalar),
        ("int8 prefix in blocks", size(Filter::Int8(Shape::Prefix), false, docs / 2 + 1), 1, best),
    ]
}

#[test]
fn hard_cases_are_exact() {
    let mut random = Random::new(1);
    for (dim, docs) in [(1, 1500), (7, 1500), (383, 1500), (1024, 1000), (1536, 300), (3072, 200)] {
        let docs = random.values(docs * dim);
        let queries = random.values(5 * dim);
        check(&format!("uniform {dim}-d"), &docs, &queries, dim, 10);
    }
    let dim = 16;
    let queries = random.values(130 * dim);
    check("one doc", &random.values(dim), &queries, dim, 1);
    check("k = docs", &random.values(700 * dim), &queries[..3 * dim], dim, 700);

    let one = random.values(dim);
    let many: Vec<f32> = one[..8].iter().copied().cycle().take(100_000 * 8).collect();
    check("100,000 identical docs", &many, &queries[..3 * 8], 8, 10);

    let ties: Vec<f32> = (0..6000 * dim).map(|_| (random.bits() % 3) as f32 - 1.0).collect();
    let tied_queries: Vec<f32> = (0..140 * dim).map(|_| (random.bits() % 3) as f32 - 1.0).collect();
    check("massive ties", &ties, &tied_queries, dim, 50);

    let mut norms = random.values(3000 * dim);
    for row in norms.chunks_exact_mut(dim) {
        let scale = 10f32.powf(random.value() * 3.0);
        row.iter_mut().for_each(|value| *value *= scale);
    }
    check("norms from 1e-3 to 1e3", &norms, &queries, dim, 20);

    let mut zeros = random.values(3000 * dim);
    zeros[dim..3 * dim].fill(0.0);
    check("zero vectors", &zeros, &queries[..9 * dim], dim, 20);

    // Docs that differ by less than float32 sums can tell.
    let nearly: Vec<f32> =
        (0..4000).flat_map(|_| one.iter().map(|v| v * (1.0 + random.value() * 3e-7)).collect::<Vec<_>>()).collect();
    check("nearly identical docs", &nearly, &queries[..20 * dim], dim, 10);

    let common = random.values(dim);
    let anisotropic: Vec<f32> =
        (0..3000).flat_map(|_| common.iter().map(|v| 3.0 * v + random.value()).collect::<Vec<_>>()).collect();
    check("mean cosine far from zero", &anisotropic, &queries, dim, 30);
    // What is left without the mean is about as long as rounding makes a difference.
    for (decades, mean) in [(2, 1e2f32), (4, 1e4), (6, 1e6), (8, 1e8)] {
        let far: Vec<f32> =
            (0..2000).flat_map(|_| common.iter().map(|v| mean * v + random.value()).collect::<Vec<_>>()).collect();
        check(&format!("a mean {decades} decades above the spread"), &far, &queries[..40 * dim], dim, 10);
        let far_queries: Vec<f32> = far[..20 * dim].iter().map(|v| v + random.value()).collect();
        check(&format!("a mean {decades} decades above the spread, of queries too"), &far, &far_queries, dim, 10);
    }

    let mut sorted = random.values(5000 * dim);
    let direction = queries[..dim].to_vec();
    let mut rows: Vec<Vec<f32>> = sorted.chunks_exact(dim).map(<[f32]>::to_vec).collect();
    rows.sort_by(|a, b| scalar::dot_f64(a, &direction).total_cmp(&scalar::dot_f64(b, &direction)));
    sorted = rows.concat();
    check("docs sorted by similarity", &sorted, &queries[..2 * dim], dim, 10);

    let mut outliers = random.values(3000 * 48);
    outliers.chunks_exact_mut(48).for_each(|row| row[..3].iter_mut().for_each(|value| *value *= 300.0));
    check("outlier dimensions", &outliers, &random.values(40 * 48), 48, 20);

    let basis = random.values(6 * 64);
    let mut low_rank = |count: usize| -> Vec<f32> {
        let mut rows = Vec::new();
        for _ in 0..count {
            let weights = random.values(6);
            rows.extend((0..64).map(|at| {
                let sum: f32 = weights.iter().zip(basis.chunks_exact(64)).map(|(weight, axis)| weight * axis[at]).sum();
                sum + 0.01 * weights[0] * at as f32 / 64.0
            }));
        }
        rows
    };
    let (few_axes, few_axes_queries) = (low_rank(4000), low_rank(60));
    check("six principal axes", &few_axes, &few_axes_queries, 64, 20);

    // What leading axes leave out decides here.
    let basis = random.values(12 * 96);
    let mut with_noise = |count: usize| -> Vec<f32> {
        let mut rows = Vec::new();
        for _ in 0..count {
            let weights = random.values(12);
            let noise = random.values(96);
            let at = |at: usize| {
                weights.iter().zip(basis.chunks_exact(96)).map(|(weight, axis)| weight * axis[at]).sum::<f32>()
            };
            rows.extend(noise.iter().enumerate().map(|(place, noise)| at(place) + 0.1 * noise));
        }
        rows
    };
    let (noisy, noisy_queries) = (with_noise(3000), with_noise(60));
    check("twelve principal axes and noise", &noisy, &noisy_queries, 96, 20);

    // The fourth doc is not in the sample that axes are made of.
    let mut one_huge = random.values(3000 * dim);
    one_huge[3 * dim] = 1e20;
    check("one value that is not coded", &one_huge, &queries[..9 * dim], dim, 20);

    let huge: Vec<f32> = random.values(800 * dim).iter().map(|v| v * 1e18).collect();
    check("sums near the end of float32", &huge, &queries[..3 * dim], dim, 5);
    // Norms so large that their inverse is below float32's normal range: all directions are the same.
    let mut far: Vec<f32> = vec![3.38e38 / 32.0; 49 * 1024];
    far[..1024].fill(3.192e38 / 32.0);
    check("the largest norms", &far, &vec![1e-3; 1024], 1024, 1);
    let tiny: Vec<f32> = random.values(800 * dim).iter().map(|v| v * 1e-30).collect();
    let tiny_queries: Vec<f32> = queries[..3 * dim].iter().map(|v| v * 1e-12).collect();
    check("products below the smallest float32", &tiny, &tiny_queries, dim, 5);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn random_cases_are_exact(
        seed in any::<u64>(), dim in 1usize..80, docs in 1usize..1300, queries in 1usize..150, k_share in 0.0f64..1.0, levels in 2u64..50,
    ) {
        let mut random = Random::new(seed);
        // Few levels make ties.
        let mut values = |count: usize| -> Vec<f32> {
            (0..count).map(|_| (random.bits() % levels) as f32 / levels as f32 + 0.01).collect()
        };
        let (doc_values, query_values) = (values(docs * dim), values(queries * dim));
        let k = ((docs as f64 * k_share) as usize).clamp(1, docs);
        check("random", &doc_values, &query_values, dim, k);
    }
}

/// Where codes could part hardly any pairs, float32 tiles score; unless these could not either, or there is no room for them.
#[test]
fn a_sample_says_whether_codes_are_worth_their_while() {
    let (dim, k) = (32, 10);
    let mut random = Random::new(5);
    let (docs, queries) = (random.values(4000 * dim), random.values(200 * dim));
    let far = |values: &[f32], mean: f32| -> Vec<f32> { values.iter().map(|value| value + mean).collect() };
    let (far_docs, far_queries) = (far(&docs, 28.0), far(&queries, 28.0));
    // Half of the docs on either side, so that taking off their mean changes nothing.
    let mut apart_docs = far_docs.clone();
    apart_docs.chunks_exact_mut(dim).step_by(2).flatten().for_each(|value| *value -= 56.0);
    let same = docs[..dim].repeat(4000);
    // Twenty directions: most docs are far from a query, and the others very near.
    let clustered = |noise: &[f32]| -> Vec<f32> {
        let centre = |row: usize| &docs[row % 20 * dim..(row % 20 + 1) * dim];
        let rows = noise.chunks_exact(dim).enumerate();
        rows.flat_map(|(row, noise)| centre(row).iter().zip(noise).map(|(centre, noise)| centre + 0.02 * noise))
            .collect()
    };
    let (clusters, cluster_queries) = (clustered(&docs), clustered(&queries));
    // Only the last of the queries have the docs' large mean.
    let late = [&queries[..100 * dim], &far_queries[100 * dim..]].concat();
    let mut one_huge = docs.clone();
    one_huge.chunks_exact_mut(dim).for_each(|row| row[3] *= 1e17);
    let int8 = Filter::Int8(Shape::Auto);
    let usual = EngineSize {
        filter: int8,
        pass_queries: 200,
        docs_kept: true,
        queries: 20_000,
        docs: 4000,
        block_docs: 4000,
        bytes: 0,
        budget: 1 << 30,
    };
    let compact = EngineSize { filter: Filter::Int8(Shape::Compact), ..usual };
    let whole = EngineSize { filter: Filter::Int8(Shape::Whole), ..usual };
    let in_blocks = EngineSize { docs_kept: false, block_docs: 1300, ..usual };
    let no_room = EngineSize { budget: 0, ..usual };
    // Room for little more than a tile.
    let little_room = EngineSize { budget: 24 << 20, pass_queries: 20_000, ..usual };
    // Of so many docs the nearest are above the best of a sample.
    let many = EngineSize { docs: 100_000, ..usual };
    let few_queries = EngineSize { queries: 5, pass_queries: 5, ..usual };
    let (tiles, leaving, paying) =
        (Filter::Float32, "of the pairs to float64", "coding the docs does not pay for 5 queries");
    for (name, docs, queries, size, filter, why) in [
        ("spread", &docs, &queries, usual, int8, "codes of"),
        ("a large mean", &far_docs, &far_queries, usual, int8, "less their mean"),
        ("a large mean, in blocks", &far_docs, &far_queries, in_blocks, int8, "less their mean"),
        ("far apart", &apart_docs, &far_queries, usual, tiles, leaving),
        ("far apart, no axes", &apart_docs, &far_queries, compact, tiles, leaving),
        ("far apart, tiles not wanted", &apart_docs, &far_queries, whole, whole.filter, "codes of"),
        ("far apart, in blocks", &apart_docs, &far_queries, in_blocks, tiles, leaving),
        ("far apart for later queries", &apart_docs, &late, usual, tiles, leaving),
        ("far apart, no room", &apart_docs, &far_queries, no_room, int8, "codes of"),
        ("far apart, little room", &apart_docs, &far_queries, little_room, tiles, leaving),
        ("clusters", &clusters, &cluster_queries, many, tiles, leaving),
        ("few queries", &docs, &queries, few_queries, tiles, paying),
        ("values that are not coded", &one_huge, &queries, usual, tiles, "codes would leave 98.4 % of the pairs"),
        ("all the same", &same, &queries, usual, int8, "codes of"),
    ] {
        let folder = tempfile::tempdir().expect("temporary folder");
        let path = folder.path().join("docs.vec");
        write_vectors(&path, docs);
        let file = VectorFile::open(&path, dim).expect("opens");
        let sample: Vec<f32> =
            sample_queries(200).flat_map(|query| &queries[query * dim..(query + 1) * dim]).copied().collect();
        for metric in Metric::ALL {
            // Directions alone, or those and lengths, can be parted where products cannot.
            let is_for_products = ["all the same", "values that are not coded", "clusters"].contains(&name);
            if metric != Metric::Dot && is_for_products {
                continue;
            }
            let monitor = Monitor::new();
            let engine =
                Engine::new(&file, 4000, metric, k, size, Level::detected(), &sample, &monitor).expect("an engine");
            let asked = &queries[170 * dim..];
            let found = engine.top_k(asked, |row| row, &monitor).expect("scores");
            assert_eq!(found, naive(docs, asked, dim, k, metric), "{name} {metric}");
            let stats = engine.stats();
            let chosen = stats.size.expect("an engine's size");
            assert_eq!(chosen.filter, filter, "{name} {metric}: {}", stats.coded_as);
            assert!(stats.coded_as.contains(why), "{name} {metric}: {}", stats.coded_as);
            assert!(filter != tiles || chosen.bytes <= size.budget, "{name} {metric}: {chosen:?}");
        }
    }
}

/// Few long docs say nothing of what short ones lose.
#[test]
fn few_axes_are_seen_where_lengths_differ_widely() {
    axes_are_seen(48, "along their principal axes, the first 12 of 48 first");
    axes_are_seen(96, "along leading principal axes alone");
}

fn axes_are_seen(dim: usize, expected: &str) {
    let k = 10;
    let mut random = Random::new(9);
    let basis = random.values(10 * dim);
    let mut of_ten_axes = |count: usize, decades: f32| -> Vec<f32> {
        let mut rows = Vec::new();
        for _ in 0..count {
            let (weights, noise) = (random.values(10), random.values(dim));
            let scale = 10f32.powf(random.value().abs().powi(8) * decades);
            let at = |at: usize| {
                weights.iter().zip(basis.chunks_exact(dim)).map(|(weight, axis)| weight * axis[at]).sum::<f32>()
            };
            rows.extend(noise.iter().enumerate().map(|(place, noise)| scale * (at(place) + 0.02 * noise)));
        }
        rows
    };
    let (docs, queries) = (of_ten_axes(4000, 3.0), of_ten_axes(60, 0.0));
    let folder = tempfile::tempdir().expect("temporary folder");
    let path = folder.path().join("docs.vec");
    write_vectors(&path, &docs);
    let file = VectorFile::open(&path, dim).expect("opens");
    let (_, size, ..) = *ways(4000).iter().find(|(name, ..)| *name == "int8 tuned").expect("a way");
    // So many of both that a prefix can pay.
    let size = EngineSize { queries: 20_000, docs: 20_000, ..size };
    let (metric, monitor) = (Metric::Euclidean, Monitor::new());
    let engine = Engine::new(&file, 4000, metric, k, size, Level::detected(), &queries[..16 * dim], &monitor)
        .expect("an engine");
    assert_eq!(engine.top_k(&queries, |row| row, &monitor).expect("scores"), naive(&docs, &queries, dim, k, metric));
    let stats = engine.stats();
    assert!(stats.coded_as.contains(expected), "{dim}: {}", stats.coded_as);
}

/// A score beyond float32 cannot be stored, and is named instead.
#[test]
fn scores_beyond_float32_are_refused() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let path = folder.path().join("docs.vec");
    write_vectors(&path, &[1e25; 8]);
    let file = VectorFile::open(&path, 4).expect("opens");
    for (name, size, _, level) in ways(2) {
        let engine = Engine::new(&file, 2, Metric::Dot, 1, size, level, &[], &Monitor::new()).expect("made");
        let error = engine.top_k(&[1e25; 4], |_| 17, &Monitor::new()).expect_err("overflow");
        assert!(error.to_string().contains("query 17 and doc 0 have a score of 3.99"), "{name}: {error}");
    }
}

#[test]
fn cancelling_stops_the_scan() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let path = folder.path().join("docs.vec");
    let mut random = Random::new(3);
    let (docs, queries) = (random.values(30_000 * 16), random.values(2000 * 16));
    write_vectors(&path, &docs);
    let file = VectorFile::open(&path, 16).expect("opens");
    for (name, size, _, level) in ways(30_000) {
        let monitor = Monitor::new();
        let engine = Engine::new(&file, 30_000, Metric::Dot, 10, size, level, &queries, &monitor).expect("made");
        monitor.begin("scoring", "pairs", 2000 * 30_000);
        // Another thread cancels once the scan is under way.
        let error = std::thread::scope(|scope| {
            scope.spawn(|| {
                while monitor.progress().done == 0 && !monitor.is_cancelled() {
                    std::thread::yield_now();
                }
                monitor.cancel();
            });
            let found = engine.top_k(&queries, |row| row, &monitor);
            monitor.cancel();
            found.expect_err("cancelled")
        });
        assert!(matches!(error, knnscope::compute::Error::Cancelled), "{name}");
        assert!(monitor.progress().done < 2000 * 30_000, "{name} stopped before its end");
    }
}
