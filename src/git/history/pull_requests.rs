//! Which pull request a commit came by, as far as Git alone tells: by the subjects of merges and squashes, which the
//! one who merges may edit. A forge knows; Git only hints.

use std::collections::HashSet;

/// A pull request that a subject names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PullRequest {
    /// Its number.
    pub number: u64,
    /// In which words.
    pub named_by: NamedBy,
}

/// How a subject names a pull request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NamedBy {
    /// A merge whose subject begins with "Merge pull request".
    Merge,
    /// A merge under a title of its own, ending in "(#N)".
    TitledMerge,
    /// One parent, and a subject ending in "(#N)".
    Squash,
    /// One parent, and a merge's subject: a merge that was rebased or picked.
    CopiedMerge,
}

/// Where a commit stands relative to the first-parent line of a revision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// Whether the revision reaches it.
    pub(super) is_reached: bool,
    /// Whether it is on the line.
    pub(super) is_on_line: bool,
    /// The merge that brought it in and that names a pull request.
    pub(super) brought_in_by: Option<usize>,
    /// The commit of the line that brought it on to the line: the oldest that reaches it.
    pub(super) step: Option<usize>,
}

/// A part of the graph with a line of its own: everything, or what a merge that names no pull request brought in.
struct Part {
    tip: usize,
    /// Children before parents.
    members: Vec<usize>,
}

const NOT_HERE: usize = usize::MAX;

/// Places every commit of a graph. `parents` has the parents of each commit, children before parents; `names` says
/// which commits name a pull request.
///
/// A commit was brought in by the oldest commit of the line that reaches it: a merge, then, and its second parent, not
/// its first, reaches it. Where that merge names no pull request ("Merge branch …"), the same is asked again within
/// what it brought in. So a pull request merged into a branch that was merged by another counts as the outer one.
pub(super) fn line(parents: &[Vec<usize>], names: &[bool], tip: usize) -> Vec<Place> {
    let mut places = vec![Place::default(); parents.len()];
    let members: Vec<usize> = reached(parents, tip, &vec![true; parents.len()]);
    for member in &members {
        places[*member].is_reached = true;
    }
    let mut parts = vec![Part { tip, members }];
    let mut is_whole = true;
    // Line positions of the commits of the part in hand; all NOT_HERE between parts.
    let mut position = vec![NOT_HERE; parents.len()];
    while let Some(part) = parts.pop() {
        let line = first_parents(parents, &part);
        let is_the_line = std::mem::take(&mut is_whole);
        if is_the_line {
            for commit in &line {
                places[*commit].is_on_line = true;
                places[*commit].step = Some(*commit);
            }
        }
        for (index, brought) in brought_in(parents, &part, &line, &mut position) {
            let merge = line[index];
            if is_the_line {
                for commit in &brought {
                    places[*commit].step = Some(merge);
                }
            }
            if names[merge] {
                for commit in brought {
                    places[commit].brought_in_by = Some(merge);
                }
            } else {
                parts.extend(split(parents, &parents[merge], brought));
            }
        }
    }
    places
}

/// The members that `tip` reaches, children before parents, among those that `is_member`.
fn reached(parents: &[Vec<usize>], tip: usize, is_member: &[bool]) -> Vec<usize> {
    let mut is_reached = vec![false; parents.len()];
    is_reached[tip] = is_member[tip];
    let mut members = Vec::new();
    for commit in tip..parents.len() {
        if is_reached[commit] {
            members.push(commit);
            for parent in parents[commit].iter().filter(|parent| is_member[**parent]) {
                is_reached[*parent] = true;
            }
        }
    }
    members
}

fn first_parents(parents: &[Vec<usize>], part: &Part) -> Vec<usize> {
    let mut line = vec![part.tip];
    while let Some(next) = line.last().and_then(|commit| parents[*commit].first())
        && part.members.binary_search(next).is_ok()
    {
        line.push(*next);
    }
    line
}

/// For each merge of the line (by its position) what it brought in.
fn brought_in(
    parents: &[Vec<usize>],
    part: &Part,
    line: &[usize],
    position: &mut [usize],
) -> Vec<(usize, Vec<usize>)> {
    let mut groups: Vec<Vec<usize>> = vec![Vec::new(); line.len()];
    let mut is_on_line = HashSet::new();
    for (index, commit) in line.iter().enumerate() {
        position[*commit] = index;
        is_on_line.insert(*commit);
    }
    for commit in &part.members {
        let reached_from = position[*commit];
        if !is_on_line.contains(commit) {
            groups[reached_from].push(*commit);
        }
        for parent in &parents[*commit] {
            if part.members.binary_search(parent).is_ok() && !is_on_line.contains(parent) {
                let known = position[*parent];
                position[*parent] = if known == NOT_HERE {
                    reached_from
                } else {
                    known.max(reached_from)
                };
            }
        }
    }
    for commit in &part.members {
        position[*commit] = NOT_HERE;
    }
    groups
        .into_iter()
        .enumerate()
        .filter(|(_, group)| !group.is_empty())
        .collect()
}

/// What a merge brought in, by the parent (after the first) that it came through; of several the first.
fn split(parents: &[Vec<usize>], tips: &[usize], mut members: Vec<usize>) -> Vec<Part> {
    let mut parts = Vec::new();
    for tip in tips.iter().skip(1) {
        if members.binary_search(tip).is_err() {
            continue;
        }
        let mut is_member = vec![false; parents.len()];
        for commit in &members {
            is_member[*commit] = true;
        }
        let reached = reached(parents, *tip, &is_member);
        members.retain(|commit| reached.binary_search(commit).is_err());
        parts.push(Part {
            tip: *tip,
            members: reached,
        });
    }
    parts
}

// === impl PullRequest ===

impl PullRequest {
    /// GitHub's and Gitea's words: `Merge pull request #N from …`, `Merge pull request 'title' (#N) from …`, and a
    /// subject that ends in `(#N)`.
    pub(super) fn named_by(subject: &str, parent_count: usize) -> Option<Self> {
        let is_merge = parent_count > 1;
        if let Some(rest) = subject.strip_prefix("Merge pull request ") {
            let number = rest.strip_prefix('#').map_or_else(
                || {
                    rest.rsplit_once("' (#")
                        .and_then(|(_, rest)| number_before(rest, ") from "))
                },
                |rest| {
                    leading_number(rest)
                        .filter(|(_, rest)| rest.is_empty() || rest.starts_with(' '))
                        .map(|(number, _)| number)
                },
            )?;
            let named_by = if is_merge {
                NamedBy::Merge
            } else {
                NamedBy::CopiedMerge
            };
            return Some(Self { number, named_by });
        }
        let (_, rest) = subject.strip_suffix(')')?.rsplit_once("(#")?;
        let (number, "") = leading_number(rest)? else {
            return None;
        };
        let named_by = if is_merge {
            NamedBy::TitledMerge
        } else {
            NamedBy::Squash
        };
        Some(Self { number, named_by })
    }
}

fn number_before(text: &str, after: &str) -> Option<u64> {
    leading_number(text)
        .filter(|(_, rest)| rest.starts_with(after))
        .map(|(number, _)| number)
}

fn leading_number(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    Some((digits.parse().ok()?, rest))
}

// === impl NamedBy ===

impl NamedBy {
    /// As the facts have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Merge => "merge",
            Self::TitledMerge => "titled merge",
            Self::Squash => "squash",
            Self::CopiedMerge => "copied merge",
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case::github_merge("Merge pull request #12 from alice/fix", 2, Some((12, NamedBy::Merge)))]
    #[case::gitea_merge("Merge pull request 'a (#1) b' (#12) from fix into main", 2, Some((12, NamedBy::Merge)))]
    #[case::merge_with_a_title("Fix it (#12)", 2, Some((12, NamedBy::TitledMerge)))]
    #[case::squash("Fix it (#12)", 1, Some((12, NamedBy::Squash)))]
    #[case::picked_squash("Fix it (#12) (#13)", 1, Some((13, NamedBy::Squash)))]
    #[case::rebased_merge("Merge pull request #12 from alice/fix", 1, Some((12, NamedBy::CopiedMerge)))]
    #[case::merged_branch("Merge branch 'main' into fix", 2, None)]
    #[case::number_inside("Fix (#12) again", 1, None)]
    #[case::no_number("Fix (#x)", 1, None)]
    #[case::number_with_a_tail("Merge pull request #12x from a/b", 2, None)]
    #[case::too_large("Fix (#99999999999999999999)", 1, None)]
    fn a_subject_names_its_pull_request(
        #[case] subject: &str,
        #[case] parents: usize,
        #[case] named: Option<(u64, NamedBy)>,
    ) {
        let found = PullRequest::named_by(subject, parents);
        assert_eq!(found.map(|found| (found.number, found.named_by)), named);
    }

    /// 0 merges 1 and the branch 2, 3; which itself had merged 4.
    #[rstest]
    #[case::outer_counts(&[0, 2], &[None, None, Some(0), Some(0), Some(0), None])]
    #[case::inner_where_outer_names_none(&[2], &[None, None, None, None, Some(2), None])]
    #[case::none(&[], &[None; 6])]
    fn what_a_merge_brought_in_counts_as_its_pull_request(
        #[case] naming: &[usize],
        #[case] expected: &[Option<usize>],
    ) {
        let parents = [vec![1, 2], vec![5], vec![3, 4], vec![5], vec![5], vec![]];
        let names: Vec<bool> = (0..6).map(|commit| naming.contains(&commit)).collect();
        let places = line(&parents, &names, 0);
        assert_eq!(
            places.iter().map(|place| place.brought_in_by).collect::<Vec<_>>(),
            expected
        );
        assert_eq!(places.iter().filter(|place| place.is_on_line).count(), 3);
    }
}
