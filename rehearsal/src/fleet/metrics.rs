//! The least reader of Prometheus' text format: sums of series.

/// The sum of all series of this name that carry these labels.
pub fn total(page: &str, name: &str, labels: &[(&str, &str)]) -> f64 {
    let fits = |series: &str| {
        let (found, rest) = series.split_once('{').unwrap_or((series, ""));
        let has = |(key, value): &(&str, &str)| rest.contains(&format!("{key}=\"{value}\""));
        found == name && labels.iter().all(has)
    };
    let lines = page.lines().filter(|line| !line.starts_with('#'));
    let series = lines.filter_map(|line| line.rsplit_once(' '));
    series.filter(|(series, _)| fits(series)).filter_map(|(_, value)| value.parse::<f64>().ok()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_are_told_apart_by_name_and_label() {
        let page = "# TYPE a_total counter\na_total{x=\"1\",y=\"2\"} 3\na_total{x=\"1\",y=\"3\"} 4\na_totals{x=\"1\"} 9\nb 0.5\n";
        let sum = |name, labels: &[(&str, &str)]| total(page, name, labels).to_string();
        assert_eq!(sum("a_total", &[("x", "1")]), "7");
        assert_eq!(sum("a_total", &[("x", "1"), ("y", "3")]), "4");
        assert_eq!(sum("b", &[]), "0.5");
    }
}
