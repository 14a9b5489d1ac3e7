//! Just enough of the Prometheus text format to ask a sample of the appliance for its value.

/// The sum of all samples of a metric whose labels contain every one of `labels`
/// (written as in the text, `outcome="failed"`). Zero where there is none.
pub fn sum(text: &str, name: &str, labels: &[&str]) -> f64 {
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            let (metric, set) = series.split_once('{').unwrap_or((series, ""));
            let wanted = metric == name && labels.iter().all(|label| set.contains(label));
            if wanted { value.parse::<f64>().ok() } else { None }
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::sum;

    #[test]
    fn adds_up_the_samples_that_match() {
        let text = "# TYPE a counter\na{x=\"1\",y=\"2\"} 3\na{x=\"2\",y=\"2\"} 4\nab{x=\"1\"} 100\nb 5\n";
        assert!((sum(text, "a", &[]) - 7.0).abs() < 1e-9);
        assert!((sum(text, "a", &["x=\"1\"", "y=\"2\""]) - 3.0).abs() < 1e-9);
        assert!((sum(text, "b", &[]) - 5.0).abs() < 1e-9);
        assert!(sum(text, "c", &[]).abs() < 1e-9);
    }
}
