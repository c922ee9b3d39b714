//! The arithmetic of a plan: how costs grow with the docs, and which of several costs is the least for how many queries.

/// How something grows with the number of docs: `factor` · docs ^ `exponent`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct PowerLaw {
    pub factor: f64,
    pub exponent: f64,
}

impl PowerLaw {
    /// The line of least squares through the logarithms of `points` (docs, value); `None` of fewer than two different
    /// numbers of docs, or where a value is not above 0.
    pub fn fit(points: &[(f64, f64)]) -> Option<Self> {
        if points.iter().any(|(docs, value)| *docs <= 0.0 || *value <= 0.0) {
            return None;
        }
        let count = points.len() as f64;
        let logs: Vec<(f64, f64)> = points.iter().map(|(docs, value)| (docs.ln(), value.ln())).collect();
        let (x, y) = logs.iter().fold((0.0, 0.0), |(x, y), log| (x + log.0 / count, y + log.1 / count));
        let spread: f64 = logs.iter().map(|log| (log.0 - x).powi(2)).sum();
        if spread < 1e-12 {
            return None;
        }
        let exponent = logs.iter().map(|log| (log.0 - x) * (log.1 - y)).sum::<f64>() / spread;
        Some(Self { factor: (y - exponent * x).exp(), exponent })
    }
}

/// What something costs at any number of docs, from what it cost at some.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scaling {
    /// The most docs that were measured, and what it was there.
    pub docs: f64,
    pub value: f64,
    /// By which power of the docs it grows from there, 0 to 2.
    pub exponent: f64,
    /// The exponent is assumed to be 1, since one size only was measured.
    pub is_assumed: bool,
}

impl Scaling {
    /// From points (docs, value), not empty. More docs never cost less here: a negative exponent is noise of small sizes,
    /// and one above 2 would be, too.
    pub fn of(points: &[(f64, f64)]) -> Option<Self> {
        let &(docs, value) = points.iter().max_by(|left, right| left.0.total_cmp(&right.0))?;
        let law = PowerLaw::fit(points);
        let exponent = law.map_or(1.0, |law| law.exponent.clamp(0.0, 2.0));
        Some(Self { docs, value, exponent, is_assumed: law.is_none() })
    }

    pub fn at(&self, docs: f64) -> f64 {
        self.value * (docs / self.docs).powf(self.exponent)
    }
}

/// Memory at any number of docs: what a process takes anyway, and as much for every doc.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Memory {
    /// The most docs that were measured, and the bytes there.
    pub docs: f64,
    pub bytes: f64,
    /// Bytes that a doc adds, ≥ 0.
    pub per_doc: f64,
    /// The bytes of a doc are assumed, since one size only was measured.
    pub is_assumed: bool,
}

impl Memory {
    /// From points (docs, bytes), not empty: the slope of the line of least squares, through the point with the most docs.
    /// What a process grew by is rough where docs are few, so neither it nor its slope is less than that of what it holds
    /// for certain, `certain`: points of the same docs.
    pub fn of(points: &[(f64, f64)], certain: &[(f64, f64)]) -> Option<Self> {
        let most = |points: &[(f64, f64)]| points.iter().copied().max_by(|left, right| left.0.total_cmp(&right.0));
        let ((docs, bytes), (_, least)) = (most(points)?, most(certain)?);
        let slope = |points: &[(f64, f64)]| {
            let count = points.len() as f64;
            let (x, y) = points.iter().fold((0.0, 0.0), |(x, y), point| (x + point.0 / count, y + point.1 / count));
            let spread: f64 = points.iter().map(|point| (point.0 - x).powi(2)).sum();
            let rise: f64 = points.iter().map(|point| (point.0 - x) * (point.1 - y)).sum();
            (spread > 0.0).then(|| rise / spread)
        };
        let bytes = bytes.max(least);
        // Of one size: what is certain grows with the docs, the rest was needed anyway.
        let alone = if least > 0.0 { least } else { bytes } / docs;
        let found = slope(points).zip(slope(certain)).map(|(slope, least)| slope.max(least).max(0.0));
        Some(Self { docs, bytes, per_doc: found.unwrap_or(alone), is_assumed: found.is_none() })
    }

    pub fn at(&self, docs: f64) -> f64 {
        (self.bytes + self.per_doc * (docs - self.docs)).max(0.0)
    }
}

/// Seconds before the first query, and of every query.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cost {
    pub before: f64,
    pub per_query: f64,
}

impl Cost {
    pub fn total(&self, queries: f64) -> f64 {
        self.before + self.per_query * queries
    }

    /// The fewest queries, at least 1, from which on this costs less than `other` in all, or as much; `None` if it never
    /// does, however many.
    pub fn pays_from(&self, other: &Self) -> Option<f64> {
        let (saved, ahead) = (other.per_query - self.per_query, self.before - other.before);
        if saved <= 0.0 {
            // It gains nothing with more queries: ahead from the start, and equal ever after, or never.
            return (saved == 0.0 && ahead <= 0.0).then_some(1.0);
        }
        // What rounding adds to a whole number is not another query.
        Some((ahead / saved * (1.0 - 1e-12)).ceil().max(1.0))
    }
}

/// Where one of several costs is the least.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stretch {
    /// Of the costs.
    pub place: usize,
    /// Numbers of queries; `None`: without end.
    pub from: f64,
    pub to: Option<f64>,
}

/// Which cost is the least for how many queries, from 1 on: the lower envelope of their lines. Equal costs: the one that
/// costs less a query.
pub fn envelope(costs: &[Cost]) -> Vec<Stretch> {
    let mut stretches: Vec<Stretch> = Vec::new();
    let least = |left: &usize, right: &usize| {
        let (left, right) = (costs[*left], costs[*right]);
        left.total(1.0).total_cmp(&right.total(1.0)).then(left.per_query.total_cmp(&right.per_query))
    };
    let Some(mut place) = (0..costs.len()).min_by(least) else { return stretches };
    let mut from = 1.0;
    loop {
        let now = costs[place];
        let crossing = |other: &Cost| (other.before - now.before) / (now.per_query - other.per_query);
        let next = (0..costs.len()).filter(|&other| costs[other].per_query < now.per_query).min_by(|&left, &right| {
            let (left, right) = (costs[left], costs[right]);
            crossing(&left).total_cmp(&crossing(&right)).then(left.per_query.total_cmp(&right.per_query))
        });
        let to = next.map(|next| crossing(&costs[next]).max(from));
        stretches.push(Stretch { place, from, to });
        let (Some(next), Some(to)) = (next, to) else { return stretches };
        (place, from) = (next, to);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planted_exponents_are_recovered() {
        for (factor, exponent) in [(3e-6, 1.0), (2e-7, 1.25), (5e-5, 0.5), (0.7, 0.0)] {
            let points: Vec<(f64, f64)> =
                [10_000.0, 20_000.0, 40_000.0].map(|docs: f64| (docs, factor * docs.powf(exponent))).to_vec();
            let law = PowerLaw::fit(&points).expect("three sizes");
            assert!((law.exponent - exponent).abs() < 1e-9 && (law.factor / factor - 1.0).abs() < 1e-9, "{law:?}");
            let scaling = Scaling::of(&points).expect("points");
            let expected = factor * 1e6f64.powf(exponent);
            assert!((scaling.at(1e6) / expected - 1.0).abs() < 1e-9, "{scaling:?}");
            assert!(!scaling.is_assumed);
        }
        // With noise of ±10 % at three sizes the exponent is off by at most ln(1.1 / 0.9) / ln(4).
        let noisy = [(1e4, 1.1), (2e4, 1.8), (4e4, 4.0 * 0.9)];
        let law = PowerLaw::fit(&noisy).expect("three sizes");
        assert!((law.exponent - 1.0).abs() < 0.15, "{law:?}");
        assert_eq!(PowerLaw::fit(&[(1e4, 1.0), (1e4, 2.0)]), None);
        assert_eq!(PowerLaw::fit(&[(1e4, 0.0), (2e4, 2.0)]), None);
        let one = Scaling::of(&[(1e4, 2.0)]).expect("a point");
        assert!(one.is_assumed && one.at(3e4) == 6.0);
        let shrinking = Scaling::of(&[(1e4, 2.0), (2e4, 1.0)]).expect("points");
        assert_eq!(shrinking.at(8e4), 1.0, "more docs are never predicted to cost less");
    }

    #[test]
    fn memory_is_a_fixed_part_and_bytes_of_every_doc() {
        let points = [1e4, 2e4, 4e4].map(|docs| (docs, 5e6 + 200.0 * docs));
        let none = points.map(|(docs, _)| (docs, 0.0));
        let memory = Memory::of(&points, &none).expect("points");
        assert!((memory.per_doc - 200.0).abs() < 1e-6 && !memory.is_assumed, "{memory:?}");
        assert!((memory.at(1e6) - 205e6).abs() < 1.0, "{memory:?}");
        let one = Memory::of(&points[..1], &none[..1]).expect("a point");
        assert!(one.is_assumed && one.at(2e4) == 14e6);
        let codes = Memory::of(&[(1e4, 5e6)], &[(1e4, 64e4)]).expect("a point");
        assert!(codes.is_assumed && codes.at(2e4) == 5e6 + 64e4);
        // A process that grew less with more docs, and holds 64 bytes of each.
        let shrinking = [(1e4, 9e6), (2e4, 8e6)];
        assert_eq!(Memory::of(&shrinking, &none[..2]).expect("points").at(1e6), 8e6);
        let certain = Memory::of(&shrinking, &[(1e4, 64e4), (2e4, 128e4)]).expect("points");
        assert!((certain.at(1e6) - (8e6 + 64.0 * 98e4)).abs() < 1.0, "{certain:?}");
    }

    #[test]
    fn break_evens_are_those_computed_by_hand() {
        let brute = Cost { before: 0.0, per_query: 0.010 };
        let index = Cost { before: 9.0, per_query: 0.001 };
        // 9 s are paid back by 9 ms a query after 1,000 queries.
        assert_eq!(index.pays_from(&brute), Some(1000.0));
        assert_eq!(brute.pays_from(&index), None);
        assert_eq!(Cost { before: 9.001, ..index }.pays_from(&brute), Some(1001.0));
        assert_eq!(Cost { before: 0.0, per_query: 0.001 }.pays_from(&brute), Some(1.0));
        assert_eq!(brute.pays_from(&brute), Some(1.0));
        assert_eq!(Cost { before: 1.0, per_query: 0.010 }.pays_from(&brute), None);
    }

    #[test]
    fn the_envelope_is_the_least_of_all_lines() {
        let cost = |before, per_query| Cost { before, per_query };
        // Brute force, an index that pays, one that pays later, one that never does, precomputed.
        let costs = [cost(0.0, 8.0), cost(10.0, 3.0), cost(70.0, 1.0), cost(60.0, 2.9), cost(1000.0, 0.0)];
        let found: Vec<_> = envelope(&costs).iter().map(|part| (part.place, part.from, part.to)).collect();
        assert_eq!(found, [(0, 1.0, Some(2.0)), (1, 2.0, Some(30.0)), (2, 30.0, Some(930.0)), (4, 930.0, None)]);
        for queries in [1.0, 1.5, 7.0, 100.0, 5000.0] {
            let least = costs.iter().map(|cost| cost.total(queries)).fold(f64::INFINITY, f64::min);
            let part = envelope(&costs).into_iter().find(|part| part.to.is_none_or(|to| queries <= to));
            assert_eq!(costs[part.expect("to the end").place].total(queries), least, "{queries}");
        }
        assert!(envelope(&[]).is_empty());
        assert_eq!(envelope(&[cost(1.0, 1.0), cost(1.0, 1.0)]).len(), 1);
    }
}
