//! Metrics for Prometheus: counted here, rendered as text, served by whoever listens. Labels are bounded: words of a fixed list, or names
//! of the configuration up to a number; never a guest, a user, a plan or a path.
//!
//! Of the `prometheus` crate only the model and the text format are used. Its registry with its vectors of metrics tells series apart by a
//! hash over their label values without anything between them, so that `("a", "bc")` and `("ab", "c")` are one, and it cannot set
//! several gauges at once, so that a scrape would see half of them.

mod definitions;
mod measures;
mod reference;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus::TextEncoder;
use prometheus::proto::{Bucket, LabelPair, Metric, MetricFamily, MetricType};

pub use definitions::{
    ALL, ATTEMPTS, CLASSES, DECISIONS, Definition, FREEZE_SCOPES, Kind, Label, METHODS, OPEN_RUNS,
    OTHER, PLAN_STATES, RISKS, RUN_OUTCOMES, STEP_OUTCOMES, SUBMISSION_STATES, TASK_TYPES, Values,
};
pub use measures::Freezes;
pub use reference::reference;

/// What `Content-Type` the text of [`Metrics::render`] has.
pub const CONTENT_TYPE: &str = prometheus::TEXT_FORMAT;

/// The longest name that a label takes, in bytes.
const LONGEST_NAME: usize = 128;

/// The values of one series.
#[derive(Debug, Clone)]
enum Sample {
    Value(f64),
    Distribution {
        /// How many values lay in each bucket alone.
        buckets: Vec<u64>,
        count: u64,
        sum: f64,
    },
}

type Series = BTreeMap<Vec<String>, Sample>;

#[derive(Debug, Default)]
struct State {
    /// By metric and label values.
    series: BTreeMap<&'static str, Series>,
    /// The names seen of each label that takes names.
    names: BTreeMap<&'static str, BTreeSet<String>>,
}

/// The metrics of one process. Clones count together.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    state: Arc<Mutex<State>>,
}

impl State {
    /// The value that a label takes for a text.
    fn bounded(&mut self, label: &Label, value: &str) -> String {
        let good = match label.values {
            Values::Words(words) => words.contains(&value),
            Values::Names { most, .. } => {
                let plain = !value.is_empty() && value.len() <= LONGEST_NAME;
                let names = self.names.entry(label.name).or_default();
                let known = names.contains(value);
                if plain && !known && names.len() < most {
                    names.insert(value.to_owned());
                }
                known || plain && names.contains(value)
            }
            Values::Current(_) => !value.is_empty() && value.len() <= LONGEST_NAME,
        };
        if good { value } else { OTHER }.to_owned()
    }

    fn labels(&mut self, definition: &Definition, values: &[&str]) -> Vec<String> {
        let labels = definition.labels.iter().zip(values);
        labels
            .map(|(label, value)| self.bounded(label, value))
            .collect()
    }

    fn sample(&mut self, definition: &Definition, values: &[&str]) -> &mut Sample {
        let labels = self.labels(definition, values);
        let current = |label: &Label| matches!(label.values, Values::Current(_));
        let series = self.series.entry(definition.name).or_default();
        if definition.labels.iter().any(current) {
            series.retain(|known, _| *known == labels);
        }
        series
            .entry(labels)
            .or_insert_with(|| match definition.kind {
                Kind::Counter | Kind::Gauge => Sample::Value(0.0),
                Kind::Histogram(bounds) => Sample::Distribution {
                    buckets: vec![0; bounds.len()],
                    count: 0,
                    sum: 0.0,
                },
            })
    }
}

impl Metrics {
    /// Metrics of which nothing was counted yet.
    pub fn new() -> Self {
        Self::default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, definition: &Definition, values: &[&str], by: f64) {
        if let Sample::Value(value) = self.state().sample(definition, values) {
            *value += by;
        }
    }

    fn set(&self, definition: &Definition, values: &[&str], to: f64) {
        if let Sample::Value(value) = self.state().sample(definition, values) {
            *value = to;
        }
    }

    fn observe(&self, definition: &Definition, values: &[&str], seen: f64) {
        let Kind::Histogram(bounds) = definition.kind else {
            return;
        };
        if let Sample::Distribution {
            buckets,
            count,
            sum,
        } = self.state().sample(definition, values)
        {
            let fits = bounds.iter().position(|bound| seen <= *bound);
            if let Some(bucket) = fits.and_then(|index| buckets.get_mut(index)) {
                *bucket += 1;
            }
            *count += 1;
            *sum += seen;
        }
    }

    /// Sets every series of a gauge whose first labels are these, at once: those that are not given are taken away. Rows whose labels
    /// come to the same (several unknown ones, all `other`) are put together by `join`.
    fn set_whole<'a>(
        &self,
        definition: &Definition,
        first: &[&str],
        rows: impl IntoIterator<Item = (Vec<&'a str>, f64)>,
        join: fn(f64, f64) -> f64,
    ) {
        let mut state = self.state();
        let prefix = state.labels(definition, first);
        let mut new: BTreeMap<Vec<String>, f64> = BTreeMap::new();
        for (rest, value) in rows {
            let labels = state.labels(definition, &[first, &rest].concat());
            new.entry(labels)
                .and_modify(|known| *known = join(*known, value))
                .or_insert(value);
        }
        let series = state.series.entry(definition.name).or_default();
        series.retain(|labels, _| !labels.starts_with(&prefix));
        series.extend(
            new.into_iter()
                .map(|(labels, value)| (labels, Sample::Value(value))),
        );
    }

    /// The values that the last label has in the series whose first label is this.
    fn last_labels(&self, definition: &Definition, first: &str) -> Vec<String> {
        let state = self.state();
        let series = state.series.get(definition.name).into_iter();
        series
            .flat_map(BTreeMap::keys)
            .filter(|labels| labels.first().is_some_and(|label| label == first))
            .filter_map(|labels| labels.last().cloned())
            .collect()
    }

    /// How many series there are.
    pub fn series(&self) -> usize {
        self.state().series.values().map(BTreeMap::len).sum()
    }

    /// Everything counted, in Prometheus's text format 0.0.4.
    pub fn render(&self) -> String {
        let families: Vec<MetricFamily> = {
            let state = self.state();
            ALL.iter()
                .filter_map(|definition| family(definition, state.series.get(definition.name)?))
                .collect()
        };
        let mut text = String::new();
        match TextEncoder::new().encode_utf8(&families, &mut text) {
            Ok(()) => text,
            Err(error) => format!("# the metrics cannot be written: {error}\n"),
        }
    }
}

/// A metric with its series, in the form the text is made from; nothing where there is no series.
fn family(definition: &Definition, series: &Series) -> Option<MetricFamily> {
    if series.is_empty() {
        return None;
    }
    let mut family = MetricFamily::default();
    family.set_name(definition.name.to_owned());
    family.set_help(definition.help.to_owned());
    family.set_field_type(match definition.kind {
        Kind::Counter => MetricType::COUNTER,
        Kind::Gauge => MetricType::GAUGE,
        Kind::Histogram(_) => MetricType::HISTOGRAM,
    });
    let metrics = series.iter().map(|(values, sample)| {
        let labels = definition.labels.iter().zip(values).map(|(label, value)| {
            let mut pair = LabelPair::default();
            pair.set_name(label.name.to_owned());
            pair.set_value(value.clone());
            pair
        });
        let mut metric = Metric::from_label(labels.collect());
        fill(&mut metric, definition.kind, sample);
        metric
    });
    family.set_metric(metrics.collect());
    Some(family)
}

fn fill(metric: &mut Metric, kind: Kind, sample: &Sample) {
    match (kind, sample) {
        (Kind::Counter, Sample::Value(value)) => {
            let mut counter = prometheus::proto::Counter::default();
            counter.set_value(*value);
            metric.set_counter(counter);
        }
        (
            Kind::Histogram(bounds),
            Sample::Distribution {
                buckets,
                count,
                sum,
            },
        ) => {
            let mut seen = 0;
            let cumulative = bounds.iter().zip(buckets).map(|(bound, number)| {
                seen += number;
                let mut bucket = Bucket::default();
                bucket.set_upper_bound(*bound);
                bucket.set_cumulative_count(seen);
                bucket
            });
            let mut histogram = prometheus::proto::Histogram::default();
            histogram.set_bucket(cumulative.collect());
            histogram.set_sample_count(*count);
            histogram.set_sample_sum(*sum);
            metric.set_histogram(histogram);
        }
        // A gauge; a sample is made by its metric's kind, so nothing else is left.
        (_, Sample::Value(value)) => {
            let mut gauge = prometheus::proto::Gauge::default();
            gauge.set_value(*value);
            metric.set_gauge(gauge);
        }
        (_, Sample::Distribution { .. }) => {}
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]
mod tests;
