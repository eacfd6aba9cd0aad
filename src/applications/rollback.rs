//! Going back, so that Git stays the truth: by a commit in which the Application's folder is as it was, or by the
//! revision that the Application follows. Self-heal then keeps what was gone back to, and does not undo it.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use git2::{Config, Oid, Repository, Signature, Tree};
use provost_delivery::owner;
use provost_manifest::escape;
use serde_json::json;

use super::commits::short;
use super::{Applications, Commits, Error, chosen};
use crate::api::argoproj::{Application, ApplicationSpec};
use crate::git::{self, CredentialStore, LocalRepositories, Mirror, Mirrors, RepoPath, RepositoryUrl};

/// How many commits are looked through for those that are taken back.
const MAX_WALKED: usize = 10_000;
/// How many of them the message lists.
const MAX_LISTED: usize = 20;

/// What somebody wants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RollbackRequest {
    /// A commit, tag or branch; `None` for what was deployed before and is otherwise than now.
    pub to: Option<String>,
    /// Which of several sources: its position counted from 1, its name or its ref.
    pub source: Option<String>,
    /// How; `None` for a push where the Application follows a branch, and else the revision.
    pub way: Option<Way>,
    /// Why, for the commit's message.
    pub reason: Option<String>,
}

/// How to go back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// A commit, pushed to the branch that the Application follows, or to a new one.
    Push {
        /// The new branch.
        branch: Option<String>,
    },
    /// The Application follows the target from now on.
    SetRevision,
}

/// A rollback that was worked out, and not yet done.
#[derive(Debug)]
pub struct Rollback {
    /// The commit that is gone back to.
    pub to: String,
    /// The head of what the Application follows now.
    pub from: String,
    /// The commits that are taken back, newest first, of those that changed the folder.
    pub taken_back: Vec<String>,
    /// How.
    pub step: Step,
    /// The repository's mirror, as just fetched.
    pub mirror: Mirror,
    /// The Application's folder.
    pub path: RepoPath,
}

/// What is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A commit is pushed.
    Push {
        /// The commit, made and not pushed yet.
        commit: String,
        /// The branch that it goes to.
        branch: String,
        /// The branch that the Application follows.
        followed: String,
        /// `Name <email>` of its author.
        author: String,
    },
    /// The Application's target revision is changed.
    SetRevision {
        /// The position among `spec.sources`; `None` for `spec.source`.
        source: Option<usize>,
        /// What it is now.
        before: String,
        /// What it becomes.
        after: String,
    },
}

// === impl Applications ===

impl Applications {
    /// Works out how to go back; fetches the repository, and changes nothing.
    ///
    /// # Errors
    /// There is nothing to go back to, or the way is not open.
    pub async fn plan_rollback(
        &self,
        application: &Application,
        request: &RollbackRequest,
        mirrors: &Mirrors,
        local: LocalRepositories,
        credentials: &Arc<CredentialStore>,
    ) -> Result<Rollback, Error> {
        let spec = ApplicationSpec::parse(&application.spec)?;
        let position = chosen(&spec, request.source.as_deref())?;
        let source = &spec.sources[position];
        let url = RepositoryUrl::parse(&source.repo_url, local)?;
        let (credentials, scope) = (Arc::clone(credentials), credentials.scope(&url, &spec.project));
        let mirror = mirrors.mirror(&url, scope.as_deref());
        let who = self.who().await;
        let (application, request, source) = (application.clone(), request.clone(), source.clone());
        let work = move || {
            let access = credentials.access(mirror.url(), scope.as_deref());
            mirror.fetch(&access.map_err(git::Error::from)?)?;
            let repository = mirror.open()?;
            let plan = Planner {
                application: &application,
                repository: &repository,
                followed: followed(&repository, &source.target_revision),
                target_revision: &source.target_revision,
                path: RepoPath::parse(&source.path)?,
                position,
                head: mirror.resolve(&source.target_revision)?,
                who: &who,
            };
            let (to, step, taken_back) = plan.work_out(&request, &mirror)?;
            Ok(Rollback {
                to,
                step,
                taken_back,
                from: plan.head,
                path: plan.path,
                mirror: mirror.clone(),
            })
        };
        tokio::task::spawn_blocking(work)
            .await
            .map_err(|_| Error::Interrupted)?
    }

    /// Does it.
    ///
    /// # Errors
    /// The repository or the cluster refuses; nothing is then changed.
    pub async fn carry_out(&self, application: &Application, rollback: &Rollback) -> Result<(), Error> {
        match &rollback.step {
            Step::Push { commit, branch, .. } => {
                let (mirror, commit, branch) = (rollback.mirror.clone(), commit.clone(), branch.clone());
                tokio::task::spawn_blocking(move || mirror.push(&commit, &branch))
                    .await
                    .map_err(|_| Error::Interrupted)??;
                // So that the agent looks at once. It looks by itself a little later, so that this may fail.
                let _ = self.refresh(application).await;
            }
            Step::SetRevision { source, after, .. } => {
                let change = match source {
                    None => json!({"spec": {"source": {"targetRevision": after}}}),
                    // A list is written as a whole; the object is still the one that was read.
                    Some(position) => {
                        let mut sources = application.spec["sources"].clone();
                        sources[*position]["targetRevision"] = json!(after);
                        json!({"spec": {"sources": sources}})
                    }
                };
                self.change(application, change).await?;
            }
        }
        Ok(())
    }
}

/// The branch that a target revision names, if it names one.
fn followed(repository: &Repository, revision: &str) -> Option<String> {
    if matches!(revision, "" | "HEAD") {
        let head = repository.find_reference("HEAD").ok()?;
        let target = head.symbolic_target().ok().flatten()?.to_owned();
        return Some(target.strip_prefix("refs/heads/")?.to_owned());
    }
    let name = revision.strip_prefix("refs/heads/").unwrap_or(revision);
    let found = repository.find_reference(&format!("refs/heads/{name}"));
    found.is_ok().then(|| name.to_owned())
}

struct Planner<'a> {
    application: &'a Application,
    repository: &'a Repository,
    followed: Option<String>,
    target_revision: &'a str,
    path: RepoPath,
    /// Among the Application's sources.
    position: usize,
    head: String,
    who: &'a str,
}

// === impl Planner ===

impl Planner<'_> {
    fn work_out(
        &self,
        request: &RollbackRequest,
        mirror: &Mirror,
    ) -> Result<(String, Step, Vec<String>), Error> {
        let to = match &request.to {
            Some(revision) => mirror.resolve(revision)?,
            None => self.last_other()?,
        };
        let Some(wanted) = self.folder_at(&to)? else {
            return Err(Error::Rollback(format!(
                "{} has no folder {}: name another commit with --to",
                short(&to),
                self.path
            )));
        };
        let is_same = self.folder_at(&self.head)? == Some(wanted);
        let way = request.way.clone().unwrap_or(match self.followed {
            Some(_) => Way::Push { branch: None },
            None => Way::SetRevision,
        });
        if is_same && matches!(way, Way::Push { .. }) {
            return Err(Error::Rollback(format!(
                "{} is at {} what it was at {}: there is nothing to take back",
                self.path,
                short(&self.head),
                short(&to)
            )));
        }
        let taken_back = self.taken_back(&to)?;
        let step = match way {
            Way::Push { branch } => self.push(request, branch, &to, wanted, &taken_back)?,
            Way::SetRevision => self.set_revision(request, &to)?,
        };
        Ok((to, step, taken_back))
    }

    /// The newest commit of the Application's history in which its folder is otherwise than now.
    fn last_other(&self) -> Result<String, Error> {
        let now = self.folder_at(&self.head)?;
        for entry in self.application.status.history.iter().rev() {
            let of_source = entry.revisions.get(self.position);
            let revision = of_source.unwrap_or(&entry.revision);
            // A commit that a rewritten history no longer has, or another repository, is none to go back to.
            if let Ok(Some(then)) = self.folder_at(revision)
                && Some(then) != now
            {
                return Ok(revision.clone());
            }
        }
        Err(Error::Rollback(
            "nothing else was deployed yet, as far as the Application's history goes: name a commit with --to".to_owned(),
        ))
    }

    fn folder_at(&self, commit: &str) -> Result<Option<Oid>, git2::Error> {
        let tree = self.repository.find_commit(Oid::from_str(commit)?)?.tree()?;
        Ok(folder_of(&tree, &self.path))
    }

    /// The commits since the target that changed the folder, newest first.
    fn taken_back(&self, to: &str) -> Result<Vec<String>, git2::Error> {
        let mut walk = self.repository.revwalk()?;
        walk.push(Oid::from_str(&self.head)?)?;
        walk.hide(Oid::from_str(to)?)?;
        let mut found = Vec::new();
        for id in walk.take(MAX_WALKED) {
            let commit = self.repository.find_commit(id?)?;
            let own = folder_of(&commit.tree()?, &self.path);
            let mut is_change = true;
            for parent in commit.parents() {
                is_change &= folder_of(&parent.tree()?, &self.path) != own;
            }
            if is_change {
                found.push(commit.id().to_string());
            }
        }
        Ok(found)
    }

    fn push(
        &self,
        request: &RollbackRequest,
        branch: Option<String>,
        to: &str,
        wanted: Oid,
        taken_back: &[String],
    ) -> Result<Step, Error> {
        let Some(followed) = self.followed.clone() else {
            return Err(Error::Rollback(format!(
                "the Application follows {:?}, which is no branch that could be pushed to: use --set-revision",
                self.target_revision
            )));
        };
        if let Some(branch) = &branch {
            let name = format!("refs/heads/{branch}");
            if !git2::Reference::is_valid_name(&name) {
                return Err(Error::Rollback(format!("{branch:?} is no name for a branch")));
            }
            if self.repository.find_reference(&name).is_ok() {
                return Err(Error::Rollback(format!(
                    "the repository has a branch {branch} already: name another one"
                )));
            }
        }
        let author = author()?;
        let head = self.repository.find_commit(Oid::from_str(&self.head)?)?;
        let parts: Vec<&str> = self.path.parts().collect();
        let tree = graft(self.repository, Some(&head.tree()?), &parts, wanted)?;
        let tree = self.repository.find_tree(tree)?;
        let message = self.message(request, to, taken_back);
        let commit = self
            .repository
            .commit(None, &author, &author, &message, &tree, &[&head])?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Ok(Step::Push {
            commit: commit.to_string(),
            branch: branch.unwrap_or_else(|| followed.clone()),
            followed,
            author: format!("{} <{}>", text(author.name_bytes()), text(author.email_bytes())),
        })
    }

    fn message(&self, request: &RollbackRequest, to: &str, taken_back: &[String]) -> String {
        let mut commits = Commits::unknown();
        if let Ok(repository) = Repository::open_bare(self.repository.path()) {
            commits.look_in(repository);
        }
        let name = self.application.metadata.name.clone().unwrap_or_default();
        let mut text = format!("Roll back {name} to {}\n", commits.short(to));
        if let Some(reason) = &request.reason {
            let _ = write!(text, "\n{}\n", reason.trim());
        }
        let _ = write!(text, "\n{} is as it was at that commit.", self.path);
        if !taken_back.is_empty() {
            text.push_str(" Taken back:\n");
        }
        for id in taken_back.iter().take(MAX_LISTED) {
            let subject = commits
                .commit(id)
                .map(|commit| commit.subject)
                .unwrap_or_default();
            let _ = write!(text, "\n  {} {subject}", short(id));
        }
        if taken_back.len() > MAX_LISTED {
            let _ = write!(text, "\n  and {} more", taken_back.len() - MAX_LISTED);
        }
        let who = if self.who.is_empty() { "unknown" } else { self.who };
        let _ = write!(
            text,
            "\n\nApplication: {}\nRollback-From: {}\nRollback-To: {to}\nRequested-By: {who}\n",
            self.application.full_name(),
            self.head
        );
        text
    }

    fn set_revision(&self, request: &RollbackRequest, to: &str) -> Result<Step, Error> {
        let sources = self.application.spec["sources"].as_array();
        let is_listed = sources.is_some_and(|sources| !sources.is_empty());
        let labels = self.application.metadata.labels.as_ref();
        if labels.is_some_and(|labels| labels.contains_key(owner::LABEL)) {
            let annotations = self.application.metadata.annotations.as_ref();
            let owner = annotations.and_then(|annotations| annotations.get(owner::ANNOTATION));
            return Err(Error::Rollback(format!(
                "the Application is itself brought in from Git by the Application {}, which would put its \
                 targetRevision back: change it there, or use --push",
                escape::line(owner.map_or("another one", String::as_str))
            )));
        }
        // A tag says more than the commit it names, and does not move.
        let tag = request.to.clone().filter(|name| {
            let reference = self.repository.find_reference(&format!("refs/tags/{name}"));
            reference.is_ok()
        });
        let after = tag.unwrap_or_else(|| to.to_owned());
        if after == self.target_revision {
            return Err(Error::Rollback(format!(
                "the Application follows {} already",
                short(&after)
            )));
        }
        Ok(Step::SetRevision {
            source: is_listed.then_some(self.position),
            before: self.target_revision.to_owned(),
            after,
        })
    }
}

/// The id of a folder in a tree.
fn folder_of(tree: &Tree<'_>, path: &RepoPath) -> Option<Oid> {
    if path.is_root() {
        return Some(tree.id());
    }
    tree.get_path(Path::new(path.as_str()))
        .ok()
        .map(|entry| entry.id())
}

/// The tree with another folder at the path.
fn graft(
    repository: &Repository,
    tree: Option<&Tree<'_>>,
    parts: &[&str],
    folder: Oid,
) -> Result<Oid, git2::Error> {
    let Some((first, rest)) = parts.split_first() else {
        return Ok(folder);
    };
    let below = tree
        .and_then(|tree| tree.get_name(first))
        .and_then(|entry| entry.to_object(repository).ok()?.into_tree().ok());
    let grafted = graft(repository, below.as_ref(), rest, folder)?;
    let mut builder = repository.treebuilder(tree)?;
    builder.insert(first, grafted, i32::from(git2::FileMode::Tree))?;
    builder.write()
}

/// Who makes commits here, by the Git configuration.
fn author() -> Result<Signature<'static>, Error> {
    let of_repository = Repository::discover(".").and_then(|repository| repository.config());
    let config = of_repository.or_else(|_| Config::open_default())?;
    let (Ok(name), Ok(email)) = (config.get_string("user.name"), config.get_string("user.email")) else {
        let message = "Git does not know who you are, and the commit needs an author: \
                       git config --global user.name and user.email say it";
        return Err(Error::Rollback(message.to_owned()));
    };
    Ok(Signature::now(&name, &email)?)
}
