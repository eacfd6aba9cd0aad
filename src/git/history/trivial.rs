//! A merge that needs no look into files: for each name, only one side changed it, or both did alike. Most merges are
//! such, and then their tree is known without making the merge.

use std::collections::BTreeMap;

use git2::{Commit, Oid, Repository, Tree};

use super::MergeResult;

/// Folders deeper than this are left to the merge itself.
const MAX_DEPTH: usize = 200;

/// A file or a folder: its content and its mode.
type Entry = (Oid, i32);

const FOLDER: i32 = 0o040_000;

/// Three sides, and what the merge has.
#[derive(Clone, Copy)]
struct Four {
    base: Option<Entry>,
    ours: Option<Entry>,
    theirs: Option<Entry>,
    result: Option<Entry>,
}

/// What the merge is; `None` where both sides changed the same file, where there are several bases or none, and where a
/// file may have been renamed: then it has to be made.
pub(super) fn merge_result(
    repository: &Repository,
    ours: &Commit<'_>,
    theirs: &Commit<'_>,
    result: &Commit<'_>,
) -> Result<Option<MergeResult>, git2::Error> {
    let bases = match repository.merge_bases(ours.id(), theirs.id()) {
        Ok(bases) => bases,
        Err(error) if error.code() == git2::ErrorCode::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let [base] = bases[..] else { return Ok(None) };
    let folder = |commit: &Commit<'_>| Some((commit.tree_id(), FOLDER));
    let four = Four {
        base: folder(&repository.find_commit(base)?),
        ours: folder(ours),
        theirs: folder(theirs),
        result: folder(result),
    };
    Ok(four.is_merged(repository, 0)?.map(|is_merged| {
        if is_merged {
            MergeResult::Automatic
        } else {
            MergeResult::Other
        }
    }))
}

// === impl Four ===

impl Four {
    /// Whether the result is what Git makes of the three; `None` where that takes a look into files.
    fn is_merged(self, repository: &Repository, depth: usize) -> Result<Option<bool>, git2::Error> {
        let Self {
            base,
            ours,
            theirs,
            result,
        } = self;
        let merged = if theirs == base {
            ours
        } else if ours == base {
            theirs
        } else if ours == theirs && is_file(ours) && is_file(base) {
            ours
        } else {
            // What both took away, or both added, may be a file that one of them renamed.
            return self.within(repository, depth);
        };
        Ok(Some(merged == result))
    }

    /// Both sides changed it: they may have changed other things in it, where it is a folder for all of them.
    fn within(self, repository: &Repository, depth: usize) -> Result<Option<bool>, git2::Error> {
        let sides = [self.base, self.ours, self.theirs];
        let are_folders = sides
            .iter()
            .all(|side| side.is_none_or(|(_, mode)| mode == FOLDER));
        if !are_folders || depth > MAX_DEPTH || self.ours.is_none() || self.theirs.is_none() {
            return Ok(None);
        }
        let mut names: BTreeMap<Vec<u8>, Self> = BTreeMap::new();
        let none = Self {
            base: None,
            ours: None,
            theirs: None,
            result: None,
        };
        let entries = |side: Option<Entry>| -> Result<Vec<(Vec<u8>, Entry)>, git2::Error> {
            match side {
                Some((id, FOLDER)) => Ok(listed(&repository.find_tree(id)?)),
                _ => Ok(Vec::new()),
            }
        };
        for (name, entry) in entries(self.base)? {
            names.entry(name).or_insert(none).base = Some(entry);
        }
        for (name, entry) in entries(self.ours)? {
            names.entry(name).or_insert(none).ours = Some(entry);
        }
        for (name, entry) in entries(self.theirs)? {
            names.entry(name).or_insert(none).theirs = Some(entry);
        }
        for (name, entry) in entries(self.result)? {
            names.entry(name).or_insert(none).result = Some(entry);
        }
        let mut is_merged = true;
        for four in names.into_values() {
            match four.is_merged(repository, depth + 1)? {
                Some(is_so) => is_merged &= is_so,
                None => return Ok(None),
            }
        }
        Ok(Some(is_merged))
    }
}

fn is_file(side: Option<Entry>) -> bool {
    side.is_some_and(|(_, mode)| mode != FOLDER)
}

fn listed(tree: &Tree<'_>) -> Vec<(Vec<u8>, Entry)> {
    tree.iter()
        .map(|entry| (entry.name_bytes().to_vec(), (entry.id(), entry.filemode_raw())))
        .collect()
}

#[cfg(test)]
mod tests {
    use git2::Signature;

    use super::super::WholeRepository;
    use super::*;

    /// Files by path, each of one folder at most, and what they hold.
    type Files = BTreeMap<&'static str, u32>;

    const PATHS: [&str; 8] = ["a", "b", "f/a", "f/b", "f/c", "g/a", "g/b", "h/a"];

    fn commit(repository: &Repository, files: &Files, parents: &[&Commit<'_>]) -> Oid {
        let mut folders: BTreeMap<&str, Vec<(&str, Oid)>> = BTreeMap::new();
        for (path, content) in files {
            let (folder, name) = path.split_once('/').unwrap_or(("", path));
            // Long enough for renames to be seen.
            let text = format!("{content}\n").repeat(40);
            let blob = repository.blob(text.as_bytes()).unwrap();
            folders.entry(folder).or_default().push((name, blob));
        }
        let mut root = repository.treebuilder(None).unwrap();
        for (folder, entries) in folders {
            let mut builder = repository.treebuilder(None).unwrap();
            for (name, blob) in entries {
                let into = if folder.is_empty() {
                    &mut root
                } else {
                    &mut builder
                };
                into.insert(name, blob, 0o100_644).unwrap();
            }
            if !folder.is_empty() {
                root.insert(folder, builder.write().unwrap(), FOLDER).unwrap();
            }
        }
        let tree = repository.find_tree(root.write().unwrap()).unwrap();
        let who = Signature::new("a", "a@example.com", &git2::Time::new(0, 0)).unwrap();
        repository.commit(None, &who, &who, "m", &tree, parents).unwrap()
    }

    /// One or two files changed, removed, added or renamed.
    fn edited(from: &Files, next: &mut impl FnMut(usize) -> usize) -> Files {
        let mut files = from.clone();
        for _ in 0..=next(2) {
            let path = PATHS[next(PATHS.len())];
            let content = u32::try_from(next(6)).unwrap();
            match next(3) {
                0 => {
                    files.remove(path);
                }
                1 => {
                    files.insert(path, content);
                }
                _ => {
                    if let Some(content) = files.remove(path) {
                        files.insert(PATHS[next(PATHS.len())], content);
                    }
                }
            }
        }
        files
    }

    /// What is known without making the merge is what making it gives; and it is known often.
    #[test]
    fn it_is_what_making_the_merge_gives() {
        let folder = tempfile::tempdir().unwrap();
        let repository = Repository::init_bare(folder.path()).unwrap();
        let whole = WholeRepository::open(folder.path()).unwrap();
        let mut random = 1_u32;
        let mut next = |below: usize| {
            random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            usize::try_from(random >> 8).unwrap() % below
        };
        let (mut known, mut automatic) = (0, 0);
        for _ in 0..300 {
            let mut base = Files::new();
            for path in PATHS {
                if next(3) > 0 {
                    base.insert(path, u32::try_from(next(4)).unwrap());
                }
            }
            let (ours, theirs) = (edited(&base, &mut next), edited(&base, &mut next));
            // By name, what either changed; now and then something else.
            let mut merged: Files = ours.clone();
            for path in PATHS {
                if theirs.get(path) != base.get(path) {
                    match theirs.get(path) {
                        Some(content) => merged.insert(path, *content),
                        None => merged.remove(path),
                    };
                }
            }
            if next(4) == 0 {
                merged = edited(&merged, &mut next);
            }
            let find = |id| repository.find_commit(id).unwrap();
            let base = find(commit(&repository, &base, &[]));
            let ours = find(commit(&repository, &ours, &[&base]));
            let theirs = find(commit(&repository, &theirs, &[&base]));
            let result = find(commit(&repository, &merged, &[&ours, &theirs]));
            let made = whole.made_again(&result).unwrap();
            if let Some(found) = merge_result(&repository, &ours, &theirs, &result).unwrap() {
                assert_eq!(found, made, "{}", result.id());
                known += 1;
                automatic += usize::from(found == MergeResult::Automatic);
            }
        }
        assert!(known > 100, "known of {known}");
        assert!(automatic > 50 && automatic < known, "{automatic} of {known}");
    }
}
