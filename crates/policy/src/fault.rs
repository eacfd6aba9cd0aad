//! Why a policy is refused: what is wrong, where it stands, what to do.

use std::fmt;
use std::sync::Arc;

/// One reason why a policy (or a file of policies) is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// What is wrong, such as `unknown field "patern" in validate; did you mean "pattern"?`.
    pub message: String,
    /// What it is wrong with, such as `rule "check-labels" of ClusterPolicy require-labels`; may be empty.
    pub subject: String,
    /// Where it stands; `None` for a policy that came from the cluster.
    pub place: Option<Place>,
}

/// A place in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file, as it was named by whoever read it.
    pub file: Arc<str>,
    /// The line, from 1.
    pub line: usize,
    /// The column, from 1, in characters.
    pub column: usize,
    /// How many characters are meant, at least 1.
    pub width: usize,
    /// The text of the line.
    pub source: String,
}

// === impl Fault ===

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Fault {}
