//! Making series and registering them.

use prometheus::core::Collector;
use prometheus::{
    Encoder, Gauge, GaugeVec, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec,
    Opts, Registry, TextEncoder,
};

/// Makes and registers series, each name once.
///
/// A name that Prometheus does not take, or that is there already, is a mistake in the program: the
/// process ends at its start, in every test.
#[derive(Debug, Clone, Default)]
pub struct Maker(Registry);

impl Maker {
    /// A counter by labels.
    pub fn counter(&self, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
        self.register(IntCounterVec::new(Opts::new(name, help), labels))
    }

    /// A counter.
    pub fn one_counter(&self, name: &str, help: &str) -> IntCounter {
        self.register(IntCounter::new(name, help))
    }

    /// A gauge by labels.
    pub fn gauge(&self, name: &str, help: &str, labels: &[&str]) -> GaugeVec {
        self.register(GaugeVec::new(Opts::new(name, help), labels))
    }

    /// A gauge.
    pub fn one_gauge(&self, name: &str, help: &str) -> Gauge {
        self.register(Gauge::new(name, help))
    }

    /// A gauge of whole numbers by labels.
    pub fn int_gauge(&self, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
        self.register(IntGaugeVec::new(Opts::new(name, help), labels))
    }

    /// A gauge of whole numbers.
    pub fn one_int_gauge(&self, name: &str, help: &str) -> IntGauge {
        self.register(IntGauge::new(name, help))
    }

    /// A histogram by labels, with its buckets' upper bounds.
    pub fn histogram(&self, name: &str, help: &str, labels: &[&str], bounds: &[f64]) -> HistogramVec {
        self.register(HistogramVec::new(HistogramOpts::new(name, help).buckets(bounds.to_vec()), labels))
    }

    /// `mailsonar_build_info`, for a program.
    pub fn build_info(&self, program: &str, version: &str) {
        let help = "Which program this is; always 1.";
        let info = self.int_gauge("mailsonar_build_info", help, &["program", "version"]);
        info.with_label_values(&[program, version]).set(1);
    }

    fn register<C: Collector + Clone + 'static>(&self, made: prometheus::Result<C>) -> C {
        let made = made.expect("a valid metric");
        self.0.register(Box::new(made.clone())).expect("each name is registered once");
        made
    }

    /// All series in Prometheus' text format.
    pub fn text(&self) -> String {
        let mut text = Vec::new();
        TextEncoder::new().encode(&self.0.gather(), &mut text).expect("writing to memory");
        String::from_utf8(text).expect("names and numbers are UTF-8")
    }
}
