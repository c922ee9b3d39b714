//! Against the tool that wrote the format first: its scores are ours, and its results open here.

use knnscope::compute::scores::ScoreStore;
use knnscope::job::Monitor;

use crate::support::{knnscope, shared, stderr, text};

fn scores_of(store: &ScoreStore, run: usize) -> Vec<f32> {
    store.map_chunks(run, &Monitor::new(), |_, scores| scores.to_vec()).expect("readable").concat()
}

#[test]
fn the_scores_are_those_of_the_replaced_tool() {
    let Some(wordnet) = shared("golden scores", "wordnet") else { return };
    let Some(golden) = shared("golden scores", "luceneutil-run") else { return };
    let golden = ScoreStore::open(&golden).expect("the other tool's results open");
    let manifest = golden.manifest();
    let folder = tempfile::tempdir().expect("temporary folder");
    let n_values = manifest.n_values.iter().map(u64::to_string).collect::<Vec<_>>().join(",");
    let (docs, queries) =
        (wordnet.join("wordnet-minilm-384d.docs.vec"), wordnet.join("wordnet-minilm-384d.queries.vec"));
    let output = knnscope(&[
        "score",
        "-docs",
        text(&docs),
        "-queries",
        text(&queries),
        "-dim",
        &manifest.dim.to_string(),
        "-numDocs",
        &manifest.num_docs.to_string(),
        "-topK",
        &manifest.top_k.to_string(),
        "-N",
        &n_values,
        "-M",
        &manifest.m_repeats.to_string(),
        "-outputDir",
        text(folder.path()),
    ]);
    assert!(output.status.success(), "{}", stderr(&output));
    let ours = ScoreStore::open(folder.path()).expect("our results open");
    assert_eq!(ours.runs().len(), golden.runs().len());
    let top_k = manifest.top_k as usize;
    let mut largest = 0.0f64;
    for (index, (our_run, their_run)) in ours.runs().iter().zip(golden.runs()).enumerate() {
        assert_eq!(
            (our_run.n, our_run.m, our_run.query_start_index),
            (their_run.n, their_run.m, their_run.query_start_index)
        );
        let (ours, theirs) = (scores_of(&ours, index), scores_of(&golden, index));
        for (our_query, their_query) in ours.chunks_exact(top_k).zip(theirs.chunks_exact(top_k)) {
            assert!(our_query.is_sorted_by(|a, b| a >= b), "ours is descending");
            let mut their_query = their_query.to_vec();
            their_query.sort_by(|a, b| b.total_cmp(a));
            for (a, b) in our_query.iter().zip(&their_query) {
                largest = largest.max((f64::from(*a) - f64::from(*b)).abs());
            }
        }
    }
    assert!(largest <= 1e-6, "largest difference {largest:e}");
}

#[test]
fn ids_name_the_docs_that_made_the_scores() {
    let folder = tempfile::tempdir().expect("temporary folder");
    let output = knnscope(&["demo", "--quiet", "--output-dir", text(folder.path())]);
    assert!(output.status.success(), "{}", stderr(&output));
    let store = ScoreStore::open(folder.path()).expect("opens");
    let open = |named: &str| {
        knnscope::compute::vectors::VectorFile::open(&store.locate(named).expect("there"), 384).expect("opens")
    };
    let (docs, queries) = (open(&store.manifest().docs), open(&store.manifest().queries));
    let run = &store.runs()[7];
    let scores = scores_of(&store, 7);
    let ids = store.ids(7, 0, scores.len()).expect("readable").expect("kept");
    for (index, (score, doc)) in scores.iter().zip(ids).enumerate() {
        let query = queries.row(run.query_start_index as usize + index / 100);
        let exact = knnscope::compute::kernels::scalar::dot_f64(query, docs.row(doc as usize));
        assert_eq!(*score, exact as f32);
    }
}
