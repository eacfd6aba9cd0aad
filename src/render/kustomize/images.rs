//! `images` of a kustomization, as `kustomize edit set image` changes them.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// Keeps what is there already.
const KEEP: &str = "*";

/// One change: what the image is called, and what becomes of it. Empty is unchanged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Image {
    name: String,
    new_name: String,
    new_tag: String,
    digest: String,
}

/// Makes the changes: an image that is there already is replaced, and all are in order of their names.
///
/// # Errors
/// A change that is not written as kustomize wants it.
pub(super) fn set(images: &mut Vec<Value>, changes: impl IntoIterator<Item = String>) -> Result<(), String> {
    let mut wanted = BTreeMap::new();
    for text in changes {
        let image = Image::parse(&text).ok_or_else(|| {
            format!("kustomize.images has {text:?}: NAME=NEW, NAME=NEW:TAG, NAME=NEW@DIGEST, NAME:TAG or NAME@DIGEST is wanted")
        })?;
        wanted.insert(image.name.clone(), image);
    }
    let mut all = BTreeMap::new();
    for there in images.drain(..) {
        let name = text_of(&there, "name");
        match wanted.get_mut(&name) {
            Some(image) => image.keep(&there),
            None => {
                all.insert(name, there);
            }
        }
    }
    for (name, mut image) in wanted {
        image.keep(&Value::Null);
        all.insert(name, image.write());
    }
    images.extend(all.into_values());
    Ok(())
}

fn text_of(image: &Value, field: &str) -> String {
    let text = image.get(field).and_then(Value::as_str);
    text.unwrap_or_default().to_owned()
}

// === impl Image ===

impl Image {
    fn parse(text: &str) -> Option<Self> {
        if let [name, new] = text.split('=').collect::<Vec<_>>()[..] {
            let bare = || (!new.is_empty()).then(|| (new.to_owned(), String::new(), String::new()));
            let (new_name, new_tag, digest) = parts(new).or_else(bare)?;
            return Some(Self {
                name: name.to_owned(),
                new_name,
                new_tag,
                digest,
            });
        }
        let (name, new_tag, digest) = parts(text)?;
        Some(Self {
            name,
            new_tag,
            digest,
            ..Self::default()
        })
    }

    /// Fills in what is to stay as it is.
    fn keep(&mut self, there: &Value) {
        for (field, value) in [
            ("newName", &mut self.new_name),
            ("newTag", &mut self.new_tag),
            ("digest", &mut self.digest),
        ] {
            if value == KEEP {
                *value = text_of(there, field);
            }
        }
    }

    fn write(&self) -> Value {
        let mut image = json!({"name": self.name});
        for (field, value) in [
            ("newName", &self.new_name),
            ("newTag", &self.new_tag),
            ("digest", &self.digest),
        ] {
            if !value.is_empty() {
                image[field] = value.as_str().into();
            }
        }
        image
    }
}

/// Name, tag and digest of `NAME:TAG`, `NAME@DIGEST` or `NAME:TAG@DIGEST`.
fn parts(text: &str) -> Option<(String, String, String)> {
    if let Some((name, digest)) = text.split_once('@') {
        let (name, tag) = tagged(name).unwrap_or((name, ""));
        return Some((name.to_owned(), tag.to_owned(), digest.to_owned()));
    }
    let (name, tag) = tagged(text)?;
    Some((name.to_owned(), tag.to_owned(), String::new()))
}

/// What stands before and after the last colon, where that can be a tag and is no registry's port.
fn tagged(text: &str) -> Option<(&str, &str)> {
    let (name, tag) = text.rsplit_once(':')?;
    let is_tag = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    (tag == KEEP || tag.chars().all(is_tag)).then_some((name, tag))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;

    #[rstest]
    #[case(
        "nginx=registry.example.com/nginx:1.2",
        "nginx",
        "registry.example.com/nginx",
        "1.2",
        ""
    )]
    #[case(
        "nginx=registry.example.com:5000/nginx",
        "nginx",
        "registry.example.com:5000/nginx",
        "",
        ""
    )]
    #[case("nginx=other@sha256:abc", "nginx", "other", "", "sha256:abc")]
    #[case("nginx:1.2", "nginx", "", "1.2", "")]
    #[case("nginx@sha256:abc", "nginx", "", "", "sha256:abc")]
    #[case("nginx=*:1.2", "nginx", "*", "1.2", "")]
    fn reads_the_forms_that_kustomize_reads(
        #[case] text: &str,
        #[case] name: &str,
        #[case] new_name: &str,
        #[case] new_tag: &str,
        #[case] digest: &str,
    ) {
        let image = Image::parse(text).unwrap();
        assert_eq!(
            (
                image.name.as_str(),
                image.new_name.as_str(),
                image.new_tag.as_str(),
                image.digest.as_str()
            ),
            (name, new_name, new_tag, digest)
        );
    }

    #[rstest]
    #[case("nginx")]
    #[case("")]
    #[case("a=b=c")]
    #[case("nginx=")]
    fn refuses_what_kustomize_refuses(#[case] text: &str) {
        assert!(set(&mut Vec::new(), [text.to_owned()]).is_err(), "{text}");
    }

    #[test]
    fn replaces_an_image_of_the_same_name_and_keeps_what_it_is_told_to() {
        let mut images = vec![
            json!({"name": "z", "newTag": "1"}),
            json!({"name": "a", "newName": "b", "newTag": "1"}),
        ];
        set(&mut images, ["a=*:2".to_owned(), "m:3".to_owned()]).unwrap();
        assert_eq!(
            images,
            [
                json!({"name": "a", "newName": "b", "newTag": "2"}),
                json!({"name": "m", "newTag": "3"}),
                json!({"name": "z", "newTag": "1"}),
            ]
        );
    }

    proptest! {
        #[test]
        fn any_text_is_an_image_or_an_error(text in any::<String>()) {
            let mut images = Vec::new();
            prop_assert_eq!(set(&mut images, [text]).is_ok(), images.len() == 1);
        }
    }
}
