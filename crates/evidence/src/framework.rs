//! Frameworks as data: what each control asks for, in our own words, and which tables evidence it.
//!
//! reports/frameworks/*.yaml come with the program; a team's own lie in `.provost/frameworks/` of its repository. A
//! control is never mapped to "compliant": its tables are evidence, and what has to come from elsewhere is said.

use serde::Deserialize;

use crate::facts::{Control, ControlTable};

/// The frameworks that come with the program, each the text of its file.
pub const FRAMEWORKS: &[(&str, &str)] = &[
    (
        "hipaa.yaml",
        include_str!("../../../reports/frameworks/hipaa.yaml"),
    ),
    (
        "iso-27001.yaml",
        include_str!("../../../reports/frameworks/iso-27001.yaml"),
    ),
    (
        "nist-800-53.yaml",
        include_str!("../../../reports/frameworks/nist-800-53.yaml"),
    ),
    (
        "pci-dss.yaml",
        include_str!("../../../reports/frameworks/pci-dss.yaml"),
    ),
    (
        "soc-2.yaml",
        include_str!("../../../reports/frameworks/soc-2.yaml"),
    ),
];

/// The version of the form in which a framework is written.
pub const VERSION: &str = "provost.dev/framework/v1";

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Framework {
    version: String,
    framework: String,
    edition: String,
    controls: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Entry {
    control: String,
    asks: String,
    strength: Option<Strength>,
    #[serde(default)]
    tables: Vec<String>,
    not_evidenced: Option<String>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Strength {
    Full,
    Partial,
    Supporting,
}

/// Why a framework could not be read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is not in the form.
    #[error("it is no framework as {VERSION} has it: {0}")]
    Form(String),
    /// It is of another version.
    #[error("it is of version {0:?}; this program reads {VERSION}")]
    Version(String),
    /// A control stands in it twice.
    #[error("the control {0:?} stands in it twice")]
    Twice(String),
}

/// Reads a framework.
pub fn parse(text: &str) -> Result<(Vec<Control>, Vec<ControlTable>), Error> {
    let read: Framework = serde_saphyr::from_str(text).map_err(|error| Error::Form(error.to_string()))?;
    if read.version != VERSION {
        return Err(Error::Version(read.version));
    }
    let (mut controls, mut tables): (Vec<Control>, Vec<ControlTable>) = (Vec::new(), Vec::new());
    for (entry, position) in read.controls.into_iter().zip(1..) {
        if controls.iter().any(|control| control.control == entry.control) {
            return Err(Error::Twice(entry.control));
        }
        tables.extend(entry.tables.into_iter().map(|table_name| ControlTable {
            framework: read.framework.clone(),
            control: entry.control.clone(),
            table_name,
        }));
        controls.push(Control {
            framework: read.framework.clone(),
            framework_version: read.edition.clone(),
            position,
            control: entry.control,
            asks: entry.asks,
            strength: entry.strength.map(|strength| strength.name().to_owned()),
            not_evidenced: entry.not_evidenced,
        });
    }
    Ok((controls, tables))
}

// === impl Strength ===

impl Strength {
    fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Partial => "partial",
            Self::Supporting => "supporting",
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rstest::rstest;

    use super::*;

    /// The tables of evidence, those to come among them: a mapping says what would evidence a control, the report says
    /// whether the table is there.
    const NAMES: [&str; 20] = [
        "admissions",
        "approvals",
        "changes",
        "control_ops",
        "deployments",
        "documentation",
        "drift",
        "emergency",
        "exceptions",
        "identities",
        "objects",
        "policy_coverage",
        "protections",
        "rbac_access",
        "ref_moves",
        "repo_access",
        "reproducibility",
        "rollbacks",
        "sod",
        "control_matrix",
    ];

    #[test]
    fn the_frameworks_that_come_with_us_are_read_and_name_tables_of_evidence() {
        let mut names = BTreeSet::new();
        for (file, text) in FRAMEWORKS {
            let (controls, tables) = parse(text).unwrap_or_else(|error| panic!("{file}: {error}"));
            assert!(names.insert(controls[0].framework.clone()), "{file}");
            for table in &tables {
                assert!(NAMES.contains(&table.table_name.as_str()), "{file}: {table:?}");
            }
            for control in &controls {
                let is_evidenced = tables.iter().any(|table| table.control == control.control);
                assert_eq!(
                    control.strength.is_some(),
                    is_evidenced,
                    "{file}: {}",
                    control.control
                );
                assert!(
                    is_evidenced || control.not_evidenced.is_some(),
                    "{file}: {}",
                    control.control
                );
            }
        }
    }

    #[rstest]
    #[case::version(
        "version: v2\nframework: F\nedition: '1'\ncontrols: []",
        "it is of version \"v2\""
    )]
    #[case::unknown_field(
        "version: v1\nframework: F\nedition: '1'\ncontrols: []\nx: 1",
        "it is no framework"
    )]
    #[case::twice(
        "version: provost.dev/framework/v1\nframework: F\nedition: '1'\ncontrols: [{control: A, asks: a}, {control: A, asks: b}]",
        "the control \"A\" stands in it twice"
    )]
    fn a_framework_is_refused_with_the_reason(#[case] text: &str, #[case] reason: &str) {
        let error = parse(text).unwrap_err().to_string();
        assert!(error.starts_with(reason), "{error}");
    }
}
