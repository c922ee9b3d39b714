//! Waiting for an index: a discrete-event simulation of replicas under queries that arrive at random times.

use super::super::judge::percentile;
use crate::compute::error::Result;
use crate::compute::random::Random;
use crate::job::Monitor;

/// Queries that arrive in a simulation, and how many of the first of them are not counted, since queues begin empty.
const ARRIVALS: usize = 200_000;
const WARM_UP: usize = 20_000;
/// Arrivals between two looks at the monitor.
const BATCH: usize = 10_000;

/// Which replica answers a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Router {
    /// Any, whatever waits there.
    Random,
    /// The one where it is answered first: one queue for all.
    Soonest,
}

/// Replicas that answer queries.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fleet<'a> {
    pub replicas: usize,
    /// Queries that a replica answers at the same time; more wait, first come first served.
    pub threads: usize,
    pub router: Router,
    /// Seconds that answers take, not empty; each query takes one of them at random.
    pub service_secs: &'a [f32],
}

/// From the arrival of a query to its answer, in seconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Response {
    /// Of all the time that threads have, the share that they answer.
    pub utilisation: f64,
    pub mean: f64,
    pub p50: f64,
    pub p99: f64,
}

impl Fleet<'_> {
    /// Lets queries arrive, at times between them that are exponentially distributed (a Poisson process), as often as
    /// keeps the threads busy for a share `utilisation` of the time, 0 < utilisation < 1.
    ///
    /// # Errors
    /// Cancelled.
    pub fn simulate(&self, utilisation: f64, seed: u64, monitor: &Monitor) -> Result<Response> {
        let mut random = Random::stream(seed, 0x0071_7565_7565);
        let mean_service =
            self.service_secs.iter().map(|secs| f64::from(*secs)).sum::<f64>() / self.service_secs.len() as f64;
        let between = mean_service / (utilisation * (self.replicas * self.threads) as f64);
        // When each thread of each replica is free again.
        let mut free_at = vec![0.0f64; self.replicas * self.threads];
        let mut now = 0.0;
        let mut responses = Vec::with_capacity(ARRIVALS - WARM_UP);
        for arrival in 0..ARRIVALS {
            if arrival % BATCH == 0 {
                monitor.check()?;
            }
            now -= between * (1.0 - uniform(&mut random)).ln();
            let service = f64::from(self.service_secs[random.below(self.service_secs.len() as u32) as usize]);
            let threads = match self.router {
                Router::Soonest => &mut free_at[..],
                Router::Random => {
                    let replica = random.below(self.replicas as u32) as usize;
                    &mut free_at[replica * self.threads..(replica + 1) * self.threads]
                }
            };
            // First come, first served: it gets the thread that is free first.
            let Some(thread) = threads.iter_mut().min_by(|left, right| left.total_cmp(right)) else { break };
            *thread = thread.max(now) + service;
            if arrival >= WARM_UP {
                responses.push((*thread - now) as f32);
            }
        }
        let mean = responses.iter().map(|secs| f64::from(*secs)).sum::<f64>() / responses.len().max(1) as f64;
        responses.sort_by(f32::total_cmp);
        let at = |share| f64::from(percentile(&responses, share));
        Ok(Response { utilisation, mean, p50: at(0.5), p99: at(0.99) })
    }
}

/// 0 ≤ value < 1, in steps of 2⁻⁵³.
fn uniform(random: &mut Random) -> f64 {
    (random.bits() >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn simulate(fleet: &Fleet<'_>, utilisation: f64) -> Response {
        fleet.simulate(utilisation, 7, &Monitor::new()).expect("not cancelled")
    }

    /// Pollaczek and Khinchine: with one server and service of mean s and squared coefficient of variation c², queries wait
    /// ρ (1 + c²) s / (2 (1 − ρ)) in the mean. c² = 0 is M/D/1, c² = 1 M/M/1.
    #[test]
    fn one_server_waits_as_the_formulas_say() {
        let constant = [0.002f32];
        let exponential: Vec<f32> =
            (0..10_000).map(|step| (-0.002 * (1.0 - (f64::from(step) + 0.5) / 10_000.0).ln()) as f32).collect();
        for (service_secs, variation) in [(&constant[..], 0.0), (&exponential, 1.0)] {
            for utilisation in [0.3, 0.6, 0.8] {
                let fleet = Fleet { replicas: 1, threads: 1, router: Router::Random, service_secs };
                let found = simulate(&fleet, utilisation);
                let wait = utilisation * (1.0 + variation) * 0.002 / (2.0 * (1.0 - utilisation));
                let expected = 0.002 + wait;
                // 180,000 queries, whose times depend on each other: 5 % is more than three standard errors.
                assert!((found.mean / expected - 1.0).abs() < 0.05, "{utilisation}: {} for {expected}", found.mean);
                if variation == 1.0 {
                    // Times in M/M/1 are exponential with mean s / (1 − ρ).
                    let p99 = -(0.01f64.ln()) * 0.002 / (1.0 - utilisation);
                    assert!((found.p99 / p99 - 1.0).abs() < 0.1, "{utilisation}: {} for {p99}", found.p99);
                }
            }
        }
    }

    /// Erlang's C: the probability to wait with c servers, times s / (c (1 − ρ)), is the mean wait of M/M/c.
    #[test]
    fn several_servers_with_one_queue_wait_as_erlang_says() {
        let service: Vec<f32> =
            (0..10_000).map(|step| (-(1.0 - (f64::from(step) + 0.5) / 10_000.0f64).ln()) as f32).collect();
        let (servers, utilisation) = (4usize, 0.8f64);
        let load = servers as f64 * utilisation;
        let term = |n: usize| (1..=n).fold(1.0, |term, i| term * load / i as f64);
        let waits = term(servers) / (1.0 - utilisation);
        let erlang = waits / ((0..servers).map(term).sum::<f64>() + waits);
        let expected = 1.0 + erlang / (servers as f64 * (1.0 - utilisation));
        // Two replicas with two threads each and one queue are four servers.
        let fleet = Fleet { replicas: 2, threads: 2, router: Router::Soonest, service_secs: &service };
        let found = simulate(&fleet, utilisation).mean;
        assert!((found / expected - 1.0).abs() < 0.05, "{found} for {expected}");
        // Four queues of their own wait longer: each is M/M/1.
        let apart = Fleet { replicas: 4, threads: 1, router: Router::Random, service_secs: &service };
        let alone = simulate(&apart, utilisation).mean;
        assert!((alone / 5.0 - 1.0).abs() < 0.1, "{alone} for 5");
        assert_eq!(simulate(&apart, utilisation), simulate(&apart, utilisation), "the same seed, the same figures");
    }
}
