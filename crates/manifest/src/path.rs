//! Paths of fields, written as `kubectl` users paste them.

use std::fmt;

use serde_json::Value;

/// One step of a [`FieldPath`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Segment {
    /// A key of a map.
    Key(String),
    /// An index into a list, from 0.
    Index(usize),
}

/// The place of a field inside an object: `spec.template.spec.containers[1].resources.limits`,
/// `metadata.labels["app.kubernetes.io/name"]`.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FieldPath(Vec<Segment>);

// === impl FieldPath ===

impl FieldPath {
    /// The object itself.
    pub fn root() -> Self {
        Self::default()
    }

    /// The steps from the root.
    pub fn segments(&self) -> &[Segment] {
        &self.0
    }

    /// Whether this is the object itself.
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// This path, one key further down.
    #[must_use]
    pub fn key(&self, key: impl Into<String>) -> Self {
        let mut path = self.clone();
        path.push_key(key);
        path
    }

    /// This path, one index further down.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        let mut path = self.clone();
        path.push_index(index);
        path
    }

    /// Goes one key down, in place.
    pub fn push_key(&mut self, key: impl Into<String>) {
        self.0.push(Segment::Key(key.into()));
    }

    /// Goes one index down, in place.
    pub fn push_index(&mut self, index: usize) {
        self.0.push(Segment::Index(index));
    }

    /// Goes one step up, in place.
    pub fn pop(&mut self) -> Option<Segment> {
        self.0.pop()
    }

    /// The path one step up; `None` for the root.
    pub fn parent(&self) -> Option<Self> {
        let (_, init) = self.0.split_last()?;
        Some(Self(init.to_vec()))
    }

    /// Whether `self` lies at or below `ancestor`.
    pub fn starts_with(&self, ancestor: &Self) -> bool {
        self.0.starts_with(&ancestor.0)
    }

    /// The value at this path.
    pub fn get<'v>(&self, root: &'v Value) -> Option<&'v Value> {
        self.0.iter().try_fold(root, |value, segment| match segment {
            Segment::Key(key) => value.as_object()?.get(key),
            Segment::Index(index) => value.as_array()?.get(*index),
        })
    }

    /// The same place as a JSON pointer (RFC 6901).
    pub fn to_json_pointer(&self) -> String {
        use fmt::Write as _;
        let mut pointer = String::new();
        for segment in &self.0 {
            pointer.push('/');
            match segment {
                Segment::Key(key) => pointer.push_str(&key.replace('~', "~0").replace('/', "~1")),
                Segment::Index(index) => {
                    let _ = write!(pointer, "{index}");
                }
            }
        }
        pointer
    }
}

impl FromIterator<Segment> for FieldPath {
    fn from_iter<I: IntoIterator<Item = Segment>>(segments: I) -> Self {
        Self(segments.into_iter().collect())
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("the object");
        }
        for (position, segment) in self.0.iter().enumerate() {
            match segment {
                Segment::Key(key) if is_plain(key) => {
                    if position > 0 {
                        f.write_str(".")?;
                    }
                    f.write_str(key)?;
                }
                Segment::Key(key) => write!(f, "[{}]", Value::from(key.as_str()))?,
                Segment::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

/// Keys that need no quotes in jsonpath and kubectl output.
fn is_plain(key: &str) -> bool {
    !key.is_empty()
        && key
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
        && !key.starts_with(|c: char| c.is_ascii_digit() || c == '-')
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use serde_json::json;

    #[rstest]
    #[case(FieldPath::root(), "the object", "")]
    #[case(FieldPath::root().key("spec").key("containers").index(1).key("image"), "spec.containers[1].image", "/spec/containers/1/image")]
    #[case(FieldPath::root().key("metadata").key("labels").key("app.kubernetes.io/name"), r#"metadata.labels["app.kubernetes.io/name"]"#, "/metadata/labels/app.kubernetes.io~1name")]
    #[case(FieldPath::root().key("a~b").key("0"), r#"["a~b"]["0"]"#, "/a~0b/0")]
    fn prints_as_kubectl_users_paste_it(#[case] path: FieldPath, #[case] text: &str, #[case] pointer: &str) {
        assert_eq!(path.to_string(), text);
        assert_eq!(path.to_json_pointer(), pointer);
    }

    #[test]
    fn finds_the_value_it_names() {
        let object = json!({"spec": {"containers": [{"image": "a"}, {"image": "b"}]}});
        let path = FieldPath::root()
            .key("spec")
            .key("containers")
            .index(1)
            .key("image");
        assert_eq!(path.get(&object), Some(&json!("b")));
        assert_eq!(
            path.get(&object).map(Value::to_string),
            object.pointer(&path.to_json_pointer()).map(Value::to_string)
        );
        assert_eq!(path.index(0).get(&object), None);
    }
}
