//! What a project refuses, in words: what it was, and the line of the project that forbids it or would allow it.

use provost_manifest::escape::line;

/// Why a project refuses something.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is no such project.
    #[error(
        "there is no AppProject {}/{}, so that nothing is allowed; create it, or name another in spec.project",
        line(.namespace),
        line(.project)
    )]
    NoProject {
        /// Its name.
        project: String,
        /// Where projects are read.
        namespace: String,
    },
    /// Its Applications may not be in this namespace.
    #[error(
        "AppProject {} does not allow Applications in namespace {}; it would with this line in spec.sourceNamespaces: - {}",
        line(.project),
        line(.namespace),
        line(.namespace)
    )]
    ApplicationNamespace {
        /// The project.
        project: String,
        /// The namespace.
        namespace: String,
    },
    /// No line allows the repository.
    #[error(
        "AppProject {} does not allow the repository {}; it would with this line in spec.sourceRepos: - {}",
        line(.project),
        line(.url),
        line(.url)
    )]
    Source {
        /// The project.
        project: String,
        /// The repository, as the Application writes it.
        url: String,
    },
    /// A line denies the repository.
    #[error("AppProject {} denies the repository {}, by spec.{}", line(.project), line(.url), line(.denying))]
    SourceDenied {
        /// The project.
        project: String,
        /// The repository, as the Application writes it.
        url: String,
        /// The line that denies it.
        denying: String,
    },
    /// No line allows the destination.
    #[error(
        "AppProject {} does not allow {}; it would with this line in spec.destinations: - {{server: {}, namespace: {:?}}}",
        line(.project),
        line(.destination),
        line(.server),
        .namespace
    )]
    Destination {
        /// The project.
        project: String,
        /// In words.
        destination: String,
        /// The server's URL.
        server: String,
        /// The namespace.
        namespace: String,
    },
    /// A line denies the destination.
    #[error("AppProject {} denies {}, by spec.{}", line(.project), line(.destination), line(.denying))]
    DestinationDenied {
        /// The project.
        project: String,
        /// In words.
        destination: String,
        /// The line that denies it.
        denying: String,
    },
    /// No line allows the kind.
    #[error(
        "AppProject {} does not allow the kind {}; it would with this line in spec.{list}: - {{group: {:?}, kind: {}}}",
        line(.project),
        named(.group, .kind),
        .group,
        line(.kind)
    )]
    Kind {
        /// The project.
        project: String,
        /// The kind's group.
        group: String,
        /// The kind.
        kind: String,
        /// The list that it would stand in.
        list: &'static str,
    },
    /// A line denies the kind.
    #[error("AppProject {} denies the kind {}, by spec.{}", line(.project), named(.group, .kind), line(.denying))]
    KindDenied {
        /// The project.
        project: String,
        /// The kind's group.
        group: String,
        /// The kind.
        kind: String,
        /// The line that denies it.
        denying: String,
    },
}

/// `Deployment.apps`, as kubectl names kinds; the core group has no name.
fn named(group: &str, kind: &str) -> String {
    let dot = if group.is_empty() { "" } else { "." };
    line(&format!("{kind}{dot}{group}")).into_owned()
}
