//! Numbers as people read them: thousands separators, bytes, durations. One way for the window,
//! the terminal, the frames and the error messages.

use crate::job::Progress;

/// `1234567` → `"1,234,567"`.
pub fn grouped(value: impl Into<u128>) -> String {
    let digits = value.into().to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// [`grouped`] for counts held as `usize`.
pub fn count(value: usize) -> String {
    grouped(value as u128)
}

/// "1 query", "3,300 queries".
pub fn counted(value: usize, singular: &str, plural: &str) -> String {
    format!("{} {}", count(value), if value == 1 { singular } else { plural })
}

/// A share in percent: "3.1 %"; with more digits where 0.0 or 100.0 would be wrong.
pub fn percent(part: usize, all: usize) -> String {
    let percent = part as f64 * 100.0 / all.max(1) as f64;
    let digits = (1..=6).find(|&digits| {
        let rounded = format!("{percent:.digits$}");
        let value: f64 = rounded.parse().unwrap_or(percent);
        (value > 0.0 || part == 0) && (value < 100.0 || part == all)
    });
    format!("{percent:.*} %", digits.unwrap_or(6))
}

/// Bytes in powers of 1,000, three significant digits: `"44.0 MB"`.
pub fn bytes(value: u64) -> String {
    const UNITS: [&str; 6] = ["bytes", "kB", "MB", "GB", "TB", "PB"];
    let mut amount = value as f64;
    let mut unit = 0;
    while amount >= 999.5 && unit + 1 < UNITS.len() {
        amount /= 1000.0;
        unit += 1;
    }
    match (unit, amount) {
        (0, _) => format!("{} {}", grouped(value), UNITS[0]),
        (_, 0.0..9.995) => format!("{amount:.2} {}", UNITS[unit]),
        (_, 0.0..99.95) => format!("{amount:.1} {}", UNITS[unit]),
        _ => format!("{amount:.0} {}", UNITS[unit]),
    }
}

/// A duration as a person would say it: `"3 ms"`, `"0.4 s"`, `"12 s"`, `"3 min 20 s"`, `"2 h 05 min"`,
/// `"3 days 4 h"`.
pub fn duration(secs: f64) -> String {
    if !secs.is_finite() || secs < 0.0 {
        return "unknown".to_owned();
    }
    if secs < 0.0995 {
        return format!("{:.0} ms", secs * 1000.0);
    }
    if secs < 9.95 {
        return format!("{secs:.1} s");
    }
    let whole = secs.round() as u64;
    match whole {
        0..60 => format!("{whole} s"),
        60..3600 => format!("{} min {:02} s", whole / 60, whole % 60),
        3600..172_800 => format!("{} h {:02} min", whole / 3600, whole % 3600 / 60),
        _ => format!("{} days {} h", grouped(whole / 86_400), whole % 86_400 / 3600),
    }
}

/// A rate with a unit prefix: `"1.25 M"`.
pub fn rate(value: f64) -> String {
    match value {
        v if v >= 1e12 => format!("{:.2} T", v / 1e12),
        v if v >= 1e9 => format!("{:.2} G", v / 1e9),
        v if v >= 1e6 => format!("{:.2} M", v / 1e6),
        v if v >= 1e3 => format!("{:.1} k", v / 1e3),
        v => format!("{v:.0}"),
    }
}

/// "61 % · run 23 of 30 · 1.20 M pairs/s · 5 s left": as much of it as is known.
pub fn progress(progress: &Progress) -> String {
    let mut parts = Vec::new();
    if progress.total > 0 {
        parts.push(format!("{:.0} %", (progress.share() * 100.0).floor()));
    }
    if !progress.detail.is_empty() {
        parts.push(progress.detail.clone());
    }
    if let Some(per_second) = progress.rate() {
        parts.push(format!("{} {}/s", rate(per_second), progress.unit));
    }
    if let Some(secs) = progress.remaining_secs() {
        parts.push(format!("{} left", duration(secs)));
    }
    parts.join(" · ")
}

/// A list in words, cut after `most` entries: `"96, 128, 384 and 4 more"`.
pub fn list(values: &[usize], most: usize) -> String {
    let shown: Vec<String> = values.iter().take(most).map(|&value| count(value)).collect();
    match values.len().saturating_sub(most) {
        0 => shown.join(", "),
        more => format!("{} and {} more", shown.join(", "), count(more)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_grouped() {
        for (value, text) in [(0u32, "0"), (999, "999"), (1000, "1,000"), (10_000, "10,000"), (1_234_567, "1,234,567")]
        {
            assert_eq!(grouped(value), text);
        }
    }

    #[test]
    fn bytes_keep_three_digits() {
        for (value, text) in [
            (999, "999 bytes"),
            (1000, "1.00 kB"),
            (44_000_000, "44.0 MB"),
            (999_600, "1.00 MB"),
            (6_670_000_000, "6.67 GB"),
        ] {
            assert_eq!(bytes(value), text);
        }
    }

    #[test]
    fn durations_read_well() {
        for (secs, text) in [
            (0.003, "3 ms"),
            (0.42, "0.4 s"),
            (12.3, "12 s"),
            (200.0, "3 min 20 s"),
            (7500.0, "2 h 05 min"),
            (273_600.0, "3 days 4 h"),
            (f64::NAN, "unknown"),
        ] {
            assert_eq!(duration(secs), text);
        }
    }

    #[test]
    fn lists_are_cut() {
        assert_eq!(list(&[1, 2000, 3], 2), "1, 2,000 and 1 more");
        assert_eq!(list(&[1, 2], 2), "1, 2");
    }
}
