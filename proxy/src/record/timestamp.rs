//! Times as records write them: RFC 3339 in UTC, with microseconds.

use std::time::{SystemTime, UNIX_EPOCH};

/// A time as records write it.
pub(crate) fn rfc3339(time: SystemTime) -> String {
    let mut out = Vec::with_capacity(27);
    write_time(&mut out, time);
    String::from_utf8(out).unwrap_or_default()
}

/// RFC 3339 in UTC with microseconds; days to a date by the proleptic Gregorian calendar.
pub(super) fn write_time(out: &mut Vec<u8>, time: SystemTime) {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds = since.as_secs();
    let (days, of_day) = (seconds / 86_400, seconds % 86_400);
    // Days from 0000-03-01, in eras of 400 years.
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    digits(out, year, 4, b'-');
    digits(out, month, 2, b'-');
    digits(out, day, 2, b'T');
    digits(out, of_day / 3600, 2, b':');
    digits(out, of_day / 60 % 60, 2, b':');
    digits(out, of_day % 60, 2, b'.');
    digits(out, u64::from(since.subsec_micros()), 6, b'Z');
}

fn digits(out: &mut Vec<u8>, value: u64, width: u32, then: u8) {
    let mut place = 10u64.pow(width - 1);
    while place > 0 {
        out.push(b'0' + u8::try_from(value / place % 10).unwrap_or(0));
        place /= 10;
    }
    out.push(then);
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn times_are_rfc_3339() {
        for (seconds, micros, expected) in [
            (0, 0, "1970-01-01T00:00:00.000000Z"),
            (951_782_400, 5, "2000-02-29T00:00:00.000005Z"),
            (1_795_227_845, 999_999, "2026-11-21T02:24:05.999999Z"),
            (4_102_444_799, 0, "2099-12-31T23:59:59.000000Z"),
        ] {
            let mut out = Vec::new();
            write_time(&mut out, UNIX_EPOCH + Duration::new(seconds, micros * 1000));
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }
}
