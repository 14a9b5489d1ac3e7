//! Times that a person gives: as records have them, or as an age.

/// A time as records write it, as far as it is given: such texts sort as the times do.
pub(super) fn moment(text: &str) -> Result<String, String> {
    let bad = || format!("`{text}` is no time: write 2026-11-20, 2026-11-20T08:00:00Z, or an age such as 30m, 24h, 7d");
    let unit = match text.as_bytes().last() {
        Some(b'm') => 60,
        Some(b'h') => 3_600,
        Some(b'd') => 86_400,
        _ => return if is_time(text) { Ok(text.to_owned()) } else { Err(bad()) },
    };
    let number: i64 = text.get(..text.len() - 1).and_then(|number| number.parse().ok()).ok_or_else(bad)?;
    let seconds = number.checked_mul(unit).filter(|seconds| *seconds >= 0).ok_or_else(bad)?;
    let then = time::OffsetDateTime::now_utc().checked_sub(time::Duration::seconds(seconds)).ok_or_else(bad)?;
    let (hour, minute, second) = then.to_hms();
    let (year, month, day) = (then.year(), u8::from(then.month()), then.day());
    Ok(format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z"))
}

/// `YYYY-MM-DD`, or that and `THH:MM:SSZ`: what sorts as the times of records do.
fn is_time(text: &str) -> bool {
    const SHAPE: &[u8] = b"0000-00-00T00:00:00Z";
    let shape = SHAPE.get(..text.len()).unwrap_or_default();
    let fits = |(byte, shape): (u8, &u8)| if *shape == b'0' { byte.is_ascii_digit() } else { byte == *shape };
    matches!(text.len(), 10 | 20) && text.bytes().zip(shape).all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_taken_in_three_forms() {
        assert_eq!(moment("2026-11-20").unwrap(), "2026-11-20");
        assert_eq!(moment("2026-11-20T08:00:00Z").unwrap(), "2026-11-20T08:00:00Z");
        assert!(is_time(&moment("36h").unwrap()) && moment("1d").unwrap() < moment("1h").unwrap());
        for bad in
            ["", "yesterday", "2026-11-20T08:00", "2026-11-20T08:00:00+01:00", "-5m", "h", "99999999999999999d", "5é"]
        {
            assert!(moment(bad).is_err(), "{bad}");
        }
    }
}
