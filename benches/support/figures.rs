//! Figures: printed as a table, and written as target/bench/PART.json.

use std::fs;
use std::path::Path;

/// What a figure has to reach.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target {
    /// At least this.
    AtLeast(f64),
    /// At most this.
    AtMost(f64),
}

/// One measured figure.
#[derive(Clone, Debug, serde::Serialize)]
pub(crate) struct Figure {
    name: String,
    value: f64,
    unit: &'static str,
    /// The same of what it is compared with, in the same run.
    beside: Option<f64>,
    ratio: Option<f64>,
    target: Option<String>,
    met: Option<bool>,
}

// === impl Target ===

impl Target {
    fn is_met(self, value: f64) -> bool {
        match self {
            Self::AtLeast(bound) => value >= bound,
            Self::AtMost(bound) => value <= bound,
        }
    }

    fn words(self) -> String {
        match self {
            Self::AtLeast(bound) => format!(">= {bound}"),
            Self::AtMost(bound) => format!("<= {bound}"),
        }
    }
}

// === impl Figure ===

impl Figure {
    /// A figure on its own; the target is for the value.
    pub(crate) fn alone(name: &str, value: f64, unit: &'static str, target: Option<Target>) -> Self {
        Self {
            name: name.to_owned(),
            value: rounded(value),
            unit,
            beside: None,
            ratio: None,
            target: target.map(Target::words),
            met: target.map(|target| target.is_met(value)),
        }
    }

    /// A figure beside another of the same run; the target is for the ratio.
    pub(crate) fn beside(
        name: &str,
        value: f64,
        unit: &'static str,
        beside: f64,
        ratio: f64,
        target: Option<Target>,
    ) -> Self {
        Self {
            beside: Some(rounded(beside)),
            ratio: Some(rounded(ratio)),
            met: target.map(|target| target.is_met(ratio)),
            ..Self::alone(name, value, unit, target)
        }
    }
}

/// Prints the table, the other column named `other`, and writes the file of `part`.
pub(crate) fn publish(part: &str, other: &str, figures: &[Figure]) -> anyhow::Result<()> {
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_header(["FIGURE", "PROVOST", other, "RATIO", "TARGET", "MET"]);
    let number = |value: Option<f64>| value.map(|value| value.to_string()).unwrap_or_default();
    for figure in figures {
        let met = figure.met.map(|met| if met { "yes" } else { "NO" });
        table.add_row([
            figure.name.clone(),
            format!("{} {}", figure.value, figure.unit),
            number(figure.beside),
            number(figure.ratio),
            figure.target.clone().unwrap_or_default(),
            met.unwrap_or_default().to_owned(),
        ]);
    }
    anstream::println!("{}", table.trim_fmt());
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench");
    fs::create_dir_all(&folder)?;
    let text = serde_json::to_string_pretty(figures)? + "\n";
    Ok(fs::write(folder.join(part).with_extension("json"), text)?)
}

/// The middle one.
pub(crate) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// To three digits, so that tables and JSON can be read.
fn rounded(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

#[expect(clippy::cast_precision_loss, reason = "nobody has 2^53 bytes")]
pub(crate) fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
