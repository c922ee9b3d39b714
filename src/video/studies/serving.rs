//! Serving schemes: what fresh docs cost, shards by hash and by cluster, and replicas under load.

use std::sync::Arc;

use super::super::finding::{Drawing, Finding, Link, Picture};
use super::super::lab::heading;
use super::super::panel::Canvas;
use super::super::scene::Scene;
use super::series::{Axis, Series, beside, chart, secs};
use crate::compute::figures::{bytes, count, counted, percent};
use crate::compute::index::judge::Mean;
use crate::compute::index::serving::balance::Balance;
use crate::compute::index::serving::queueing::Router;
use crate::compute::index::serving::{Row, Scheme, Serving};
use crate::compute::table::{Column, Table};

/// As a finding.
pub fn finding(serving: Serving) -> Finding {
    let (title, notes, table) = (format!("Serving {}", title(&serving)), notes(&serving), table(&serving));
    let rows = std::iter::once(&serving.whole).chain(&serving.rows);
    let mut links: Vec<Link> = rows.map(|row| link(&serving, row)).collect();
    links.resize_with(table.rows.len(), Link::default);
    let serving = Arc::new(serving);
    let mut pictures = Vec::new();
    for scheme in Scheme::ALL {
        let is_drawn = match scheme {
            Scheme::Replicas => !serving.queues.is_empty(),
            scheme => serving.of(scheme).count() > 0,
        };
        if is_drawn {
            let name = match scheme {
                Scheme::Dual => "Fresh docs",
                Scheme::Hash => "Shards by hash",
                Scheme::Cluster => "Shards by cluster",
                Scheme::Replicas => "Load",
            };
            let drawing = Arc::new(Chart { serving: serving.clone(), scheme });
            pictures.push(Picture { name: name.to_owned(), drawing });
        }
    }
    Finding { title, notes, pictures, table, links, more: None }
}

/// "hnsw:M=16:efConstruction=40 efSearch=64: 40,000 docs × 1,000 queries, dim 384, dot, recall@10"
fn title(serving: &Serving) -> String {
    format!(
        "{}: {} × {}, dim {}, {}, top-{}",
        serving.index,
        counted(serving.docs, "doc", "docs"),
        counted(serving.queries, "query", "queries"),
        serving.dim,
        serving.metric,
        count(serving.top_k)
    )
}

/// What a row is: "3 of 8 shards by cluster".
fn named(serving: &Serving, row: &Row) -> String {
    match row.scheme {
        None => "one index".to_owned(),
        Some(Scheme::Dual) => format!("{} of fresh docs", percent(row.step, serving.docs)),
        Some(Scheme::Hash) => format!("{} by hash", counted(row.step, "shard", "shards")),
        Some(Scheme::Cluster) => format!("{} of {} by cluster", count(row.step), counted(row.of, "shard", "shards")),
        Some(Scheme::Replicas) => counted(row.step, "replica", "replicas"),
    }
}

fn link(serving: &Serving, row: &Row) -> Link {
    Link { name: format!("lost by {}", named(serving, row)), queries: row.losing.clone(), docs: Vec::new() }
}

fn recall(mean: &Mean) -> String {
    format!("{:.4} ({:.4} to {:.4})", mean.mean, mean.low, mean.high)
}

fn notes(serving: &Serving) -> Vec<String> {
    let whole = &serving.whole;
    let k = count(serving.top_k);
    let mut notes = vec![format!(
        "One index of all docs: recall@{k} {}, {} a query in the median and {} at the 99th percentile on one thread, built \
         in {}, {} of memory.",
        recall(&whole.recall),
        secs(whole.latency_secs[0]),
        secs(whole.latency_secs[1]),
        secs(whole.build_secs),
        bytes(whole.memory_bytes)
    )];
    if let Some(row) = serving.of(Scheme::Dual).last() {
        let without = row.recall_without.map_or_else(String::new, |without| {
            format!("; without the fresh index it is {}, since fresh docs cannot be found", recall(&without))
        });
        notes.push(format!(
            "With {} fresh docs ({}) in an exact index beside the main one recall@{k} is {}{without}. Both together take {} \
             a query, one index {}: {:.2} times.",
            count(row.step),
            percent(row.step, serving.docs),
            recall(&row.recall),
            secs(row.work_secs),
            secs(whole.work_secs),
            row.work_secs / whole.work_secs.max(1e-12)
        ));
    }
    if let Some(row) = serving.of(Scheme::Hash).last() {
        notes.push(format!(
            "{} by hash, all asked: recall@{k} {}. A query takes {} in the median if they answer at the same time ({} in one \
             index), but {:.2} times the work, since every shard does most of a search for its share of the docs.",
            counted(row.step, "shard", "shards"),
            recall(&row.recall),
            secs(row.latency_secs[0]),
            secs(whole.latency_secs[0]),
            row.work_secs / whole.work_secs.max(1e-12)
        ));
    }
    notes.extend(cluster_note(serving));
    if let Some(row) = serving.of(Scheme::Replicas).last() {
        let qps = row.qps.map_or_else(String::new, |qps| format!("{} queries a second in all, ", count(qps as usize)));
        notes.push(format!(
            "{}: {qps}{} of memory. This is {} times one index on machines like this one ({}), not measured beyond one.",
            counted(row.step, "replica", "replicas"),
            bytes(row.memory_bytes),
            count(row.step),
            counted(serving.threads, "thread", "threads")
        ));
    }
    notes.extend(queue_note(serving));
    notes.push(
        "Lists are merged by exact scores, and merging is in the times. Parts that answer at the same time are taken from \
         parts that were asked one after another; the network between machines is not in it."
            .to_owned(),
    );
    if serving.has_codes && serving.rows.iter().any(|row| row.scheme.is_some_and(|scheme| scheme != Scheme::Replicas)) {
        notes.push(
            "This index compares codes. Merging by exact scores re-ranks what several parts return, which one index does not: \
             some of what parts find beyond it comes from that."
                .to_owned(),
        );
    }
    if serving.of(Scheme::Dual).next().is_some() {
        notes.push("Fresh docs are drawn at random; real ones may be unlike the older ones, and lose more without their index.".to_owned());
    }
    notes
}

fn cluster_note(serving: &Serving) -> Option<String> {
    let rows: Vec<&Row> = serving.of(Scheme::Cluster).collect();
    let (first, last) = (rows.first()?, rows.last()?);
    let k = count(serving.top_k);
    // The fewest shards with which no more than a hundredth of what all find is missed.
    let enough = rows.iter().find(|row| row.recall.mean >= last.recall.mean - 0.01)?;
    let uneven = |balance: Option<Balance>| balance.map_or(1.0, |balance| balance.max_over_mean);
    Some(format!(
        "{} by cluster: the nearest alone has recall@{k} {}, all have {}; {} are enough to miss at most 0.01 of that. With \
         the nearest alone the busiest shard has {:.1} times the mean load, and the largest {:.1} times the mean docs.",
        counted(last.of, "shard", "shards"),
        recall(&first.recall),
        recall(&last.recall),
        count(enough.step),
        uneven(first.load_balance),
        uneven(first.docs_balance)
    ))
}

fn queue_note(serving: &Serving) -> Option<String> {
    let at = |replicas: usize, router: Router| {
        let queue = serving.queues.iter().find(|queue| queue.replicas == replicas && queue.router == router)?;
        queue.responses.last().copied()
    };
    let most = serving.params.replicas;
    let one = at(1, Router::Soonest)?;
    let alone = secs(serving.whole.latency_secs[1]);
    let busy = format!("{:.0} %", one.utilisation * 100.0);
    let (random, soonest) = (at(most, Router::Random), at(most, Router::Soonest));
    let several = random.zip(soonest).filter(|_| most > 1).map_or_else(String::new, |(random, soonest)| {
        format!(
            " {} as busy: {} if queries go to any, {} if each goes where it is answered first.",
            counted(most, "replica", "replicas"),
            secs(random.p99),
            secs(soonest.p99)
        )
    });
    let slower = match serving.slowdown > 1.005 {
        true => {
            format!(", each {:.2} times as long as alone, as measured while all threads are busy", serving.slowdown)
        }
        false => String::new(),
    };
    Some(format!(
        "Waiting (simulated: queries arrive at random times and take measured times{slower}): at {busy} busy 1 replica \
         answers within {} in 99 % of all cases, {alone} without waiting.{several}",
        secs(one.p99)
    ))
}

fn table(serving: &Serving) -> Table {
    let names = [
        ("scheme", false),
        ("step", true),
        ("of", true),
        ("recall", true),
        ("recall_low", true),
        ("recall_high", true),
        ("recall_without_fresh", true),
        ("mean_gap", true),
        ("latency_p50_ms", true),
        ("latency_p99_ms", true),
        ("work_ms", true),
        ("merge_ms", true),
        ("build_s", true),
        ("memory_bytes", true),
        ("qps", true),
        ("docs_max_over_mean", true),
        ("docs_gini", true),
        ("load_max_over_mean", true),
        ("load_gini", true),
        ("queries_losing", true),
        ("router", false),
        ("utilisation", true),
    ];
    let columns = names.map(|(name, is_number)| Column { name: name.to_owned(), is_number }).to_vec();
    let ms = |secs: f64| Some(format!("{:.5}", secs * 1e3));
    let row = |row: &Row| {
        let balance = |balance: Option<Balance>| {
            let shown = |value: fn(Balance) -> f64| balance.map(|balance| format!("{:.4}", value(balance)));
            [shown(|balance| balance.max_over_mean), shown(|balance| balance.gini)]
        };
        let mut cells = vec![
            Some(row.scheme.map_or("one index", Scheme::name).to_owned()),
            Some(row.step.to_string()),
            Some(row.of.to_string()),
            Some(format!("{:.6}", row.recall.mean)),
            Some(format!("{:.6}", row.recall.low)),
            Some(format!("{:.6}", row.recall.high)),
            row.recall_without.map(|without| format!("{:.6}", without.mean)),
            Some(format!("{:e}", row.gap)),
            ms(row.latency_secs[0]),
            ms(row.latency_secs[1]),
            ms(row.work_secs),
            ms(row.merge_secs),
            Some(format!("{:.3}", row.build_secs)),
            Some(row.memory_bytes.to_string()),
            row.qps.map(|qps| format!("{qps:.1}")),
        ];
        cells.extend(balance(row.docs_balance));
        cells.extend(balance(row.load_balance));
        cells.extend([Some(row.losing.len().to_string()), None, None]);
        cells
    };
    let mut rows: Vec<_> = std::iter::once(&serving.whole).chain(&serving.rows).map(row).collect();
    for queue in &serving.queues {
        let router = match queue.router {
            Router::Random => "random",
            Router::Soonest => "soonest",
        };
        for response in &queue.responses {
            let mut cells = vec![None; columns.len()];
            let named = [
                (0, "waiting".to_owned()),
                (1, queue.replicas.to_string()),
                (2, queue.replicas.to_string()),
                (20, router.to_owned()),
                (21, response.utilisation.to_string()),
            ];
            named.into_iter().for_each(|(place, text)| cells[place] = Some(text));
            (cells[8], cells[9]) = (ms(response.p50), ms(response.p99));
            rows.push(cells);
        }
    }
    Table { columns, rows, is_cut: false }
}

/// A scheme over what is varied of it.
#[derive(Debug)]
struct Chart {
    serving: Arc<Serving>,
    scheme: Scheme,
}

impl Drawing for Chart {
    fn scene(&self, canvas: Canvas, _chosen: Option<(f64, f64)>) -> Scene {
        match self.scheme {
            Scheme::Dual => self.fresh(canvas),
            Scheme::Hash => self.hash(canvas),
            Scheme::Cluster => self.cluster(canvas),
            Scheme::Replicas => self.load(canvas),
        }
    }
}

/// Plots beside each other, each with its axes and lines.
fn plots(canvas: Canvas, (title, below): (&str, &str), plots: &[(Axis, Axis, Vec<Series>)]) -> Scene {
    let mut sheet = canvas.sheet();
    let unit = canvas.unit;
    let left = (132.0 * unit).round();
    heading(&mut sheet, left, title, below);
    let across = (left, canvas.width as f32 - 40.0 * unit);
    let down = (152.0 * unit, canvas.height as f32 - 84.0 * unit);
    for (place, (x, y, series)) in plots.iter().enumerate() {
        let panel = beside(across, down, (place, plots.len()), unit, (x, y));
        chart(&mut sheet, &panel, (x, y), series);
    }
    canvas.scene(sheet)
}

/// From a little below the least to a little above the most, at most 1.
fn recall_axis(name: &str, series: &[Series]) -> Axis {
    let (low, _) = Series::extent(series.iter()).unwrap_or((0.0, 1.0));
    Axis::even(name, ((low - (1.0 - low).max(0.01) * 0.12).max(0.0), 1.0), 6)
}

/// From 0 to a little above the most.
fn from_zero(name: &str, series: &[Series]) -> Axis {
    let (_, high) = Series::extent(series.iter()).unwrap_or((0.0, 1.0));
    Axis::even(name, (0.0, if high > 0.0 { high * 1.08 } else { 1.0 }), 6)
}

impl Chart {
    fn rows(&self) -> impl Iterator<Item = &Row> {
        self.serving.of(self.scheme)
    }

    fn recall_name(&self) -> String {
        format!("recall@{}", count(self.serving.top_k))
    }

    fn fresh(&self, canvas: Canvas) -> Scene {
        let (serving, inks) = (&*self.serving, canvas.look.inks());
        let share = |row: &Row| row.step as f64 / serving.docs as f64 * 100.0;
        let whole = &serving.whole;
        let with = Series {
            name: "both, merged".to_owned(),
            color: inks.exact,
            points: std::iter::once((0.0, whole.recall))
                .chain(self.rows().map(|row| (share(row), row.recall)))
                .collect(),
        };
        let without = Series {
            name: "main index alone".to_owned(),
            color: inks.attention,
            points: std::iter::once((0.0, whole.recall))
                .chain(self.rows().filter_map(|row| Some((share(row), row.recall_without?))))
                .collect(),
        };
        let start = |secs: f64| std::iter::once((0.0, secs * 1e3));
        let times = vec![
            Series::plain(
                "one after the other",
                inks.exact,
                start(whole.work_secs).chain(self.rows().map(|row| (share(row), row.work_secs * 1e3))),
            ),
            Series::plain(
                "at the same time, median",
                inks.right,
                start(whole.latency_secs[0]).chain(self.rows().map(|row| (share(row), row.latency_secs[0] * 1e3))),
            ),
            Series::plain(
                "merging",
                inks.ink_soft,
                start(0.0).chain(self.rows().map(|row| (share(row), row.merge_secs * 1e3))),
            ),
        ];
        let most = self.rows().map(share).fold(0.0, f64::max);
        let x = || Axis::even("fresh docs, % of all", (0.0, most * 1.03), 5);
        let recalls = vec![with, without];
        let axes = (recall_axis(&self.recall_name(), &recalls), from_zero("ms a query", &times));
        plots(
            canvas,
            (
                "Main index beside an exact one of fresh docs",
                &format!("{} · bands: 95 % of resampled queries", title(serving)),
            ),
            &[(x(), axes.0, recalls), (x(), axes.1, times)],
        )
    }

    fn hash(&self, canvas: Canvas) -> Scene {
        let (serving, inks) = (&*self.serving, canvas.look.inks());
        let shards: Vec<f64> = self.rows().map(|row| row.step as f64).collect();
        let recalls = vec![Series {
            name: "all shards, merged".to_owned(),
            color: inks.exact,
            points: self.rows().map(|row| (row.step as f64, row.recall)).collect(),
        }];
        let line = |name: &str, color, value: fn(&Row) -> f64| {
            Series::plain(name, color, self.rows().map(|row| (row.step as f64, value(row).max(1e-9))))
        };
        let times = vec![
            line("work of all", inks.attention, |row| row.work_secs),
            line("slowest, p99", inks.ink_soft, |row| row.latency_secs[1]),
            line("slowest, median", inks.exact, |row| row.latency_secs[0]),
        ];
        let x = || Axis::steps("shards", &shards);
        let (low, high) = Series::extent(times.iter()).unwrap_or((1e-3, 1.0));
        let y = Axis::log("time of a query", (low / 1.5, high * 1.5), secs);
        let axes = (recall_axis(&self.recall_name(), &recalls), y);
        plots(
            canvas,
            ("Shards by hash, all asked", &format!("{} · bands: 95 % of resampled queries", title(serving))),
            &[(x(), axes.0, recalls), (x(), axes.1, times)],
        )
    }

    fn cluster(&self, canvas: Canvas) -> Scene {
        let (serving, inks) = (&*self.serving, canvas.look.inks());
        let fan_out = |row: &Row| row.step as f64;
        let most = self.rows().map(fan_out).fold(1.0, f64::max);
        let recalls = vec![Series {
            name: "nearest shards, merged".to_owned(),
            color: inks.exact,
            points: self.rows().map(|row| (fan_out(row), row.recall)).collect(),
        }];
        let times = vec![
            Series::plain(
                "work of all asked",
                inks.attention,
                self.rows().map(|row| (fan_out(row), row.work_secs * 1e3)),
            ),
            Series::plain(
                "slowest, median",
                inks.exact,
                self.rows().map(|row| (fan_out(row), row.latency_secs[0] * 1e3)),
            ),
        ];
        let balance = |value: fn(&Row) -> Option<f64>| {
            self.rows().filter_map(move |row| Some((fan_out(row), value(row)?))).collect::<Vec<_>>().into_iter()
        };
        let loads = vec![
            Series::plain(
                "queries",
                inks.attention,
                balance(|row| row.load_balance.map(|balance| balance.max_over_mean)),
            ),
            Series::plain("docs", inks.exact, balance(|row| row.docs_balance.map(|balance| balance.max_over_mean))),
            Series::plain(
                "Gini of queries",
                inks.ink_soft,
                balance(|row| row.load_balance.map(|balance| balance.gini)),
            ),
        ];
        let x = || {
            // Whole shards only.
            let wanted = if most <= 10.0 { most as usize } else { 6 };
            Axis::even("shards asked", (1.0 - most * 0.02, most * 1.02), wanted)
        };
        let axes = (
            recall_axis(&self.recall_name(), &recalls),
            from_zero("ms a query", &times),
            from_zero("largest load / mean load", &loads),
        );
        let cells = serving.params.cells.filter(|cells| *cells != serving.params.shards);
        let cells =
            cells.map_or_else(|| "a cell a shard".to_owned(), |cells| format!("{} cells packed evenly", count(cells)));
        plots(
            canvas,
            (
                "Shards by cluster, the nearest asked",
                &format!("{} · {cells} · bands: 95 % of resampled queries", title(serving)),
            ),
            &[(x(), axes.0, recalls), (x(), axes.1, times), (x(), axes.2, loads)],
        )
    }

    fn load(&self, canvas: Canvas) -> Scene {
        let (serving, inks) = (&*self.serving, canvas.look.inks());
        let line = |name: String, color, queue: &crate::compute::index::serving::Queue, is_p99: bool| {
            let points = queue
                .responses
                .iter()
                .map(|response| (response.utilisation * 100.0, if is_p99 { response.p99 } else { response.p50 }));
            Series::plain(&name, color, points)
        };
        let mut tails = Vec::new();
        let mut middles = Vec::new();
        for queue in &serving.queues {
            let (name, color) = match (queue.replicas, queue.router) {
                (1, _) => ("1 replica".to_owned(), inks.ink_soft),
                (replicas, Router::Random) => (format!("{}, any of them", count(replicas)), inks.attention),
                (replicas, Router::Soonest) => (format!("{}, the first that is free", count(replicas)), inks.exact),
            };
            tails.push(line(name.clone(), color, queue, true));
            middles.push(line(name, color, queue, false));
        }
        let all = || middles.iter().chain(&tails);
        let (low, high) = Series::extent(all()).unwrap_or((1e-3, 1.0));
        let x = || Axis::even("% of the time busy", (0.0, 100.0), 5);
        let y = |name: &str| Axis::log(name, (low.max(1e-7) / 1.2, high.max(1e-6) * 1.2), secs);
        plots(
            canvas,
            (
                "Replicas under load, simulated",
                &format!("{} · {} a replica", title(serving), counted(serving.threads, "thread", "threads")),
            ),
            &[(x(), y("median, from arrival to answer"), middles), (x(), y("99th percentile"), tails)],
        )
    }
}
