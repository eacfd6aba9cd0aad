//! Which objects an expected entry is about.

use super::object::Object;
use crate::fault::Fault;
use crate::source::Cursor;

/// The objects that an entry names; none named means all.
#[derive(Debug, Default)]
pub(super) struct Selection {
    named: Vec<Description>,
}

/// A description of one object; what it leaves open may be anything.
#[derive(Debug, Default)]
struct Description {
    group: Option<String>,
    version: Option<String>,
    kind: Option<String>,
    namespace: Option<String>,
    name: Option<String>,
}

impl Selection {
    /// Reads `resources` and `resourceSpecs` of an entry, and the older `resource` and `namespace`.
    pub(super) fn read(entry: &Cursor<'_>) -> Result<Self, Fault> {
        let mut names = Vec::new();
        if let Some(resource) = entry.get("resource") {
            let namespace = entry.get("namespace").map(|text| text.text()).transpose()?;
            names.push(Description {
                namespace: namespace.map(str::to_owned),
                ..Description::parse(resource.text()?)
            });
        }
        names.extend(entry.texts_of("resources")?.into_iter().map(Description::parse));
        for spec in super::values::items(entry, "resourceSpecs")? {
            names.push(Description::of_spec(&spec)?);
        }
        Ok(Self { named: names })
    }

    /// The objects that are meant: those that bear a name of the entry, of the entry's kind where there are such;
    /// all where none bears one.
    pub(super) fn select<'o>(&self, objects: &'o [Object], kind: Option<&str>) -> Vec<&'o Object> {
        let named: Vec<&Object> = objects
            .iter()
            .filter(|object| self.named.iter().any(|name| name.is_of(object)))
            .collect();
        if named.is_empty() {
            return objects.iter().collect();
        }
        let of_kind: Vec<&Object> = named
            .iter()
            .copied()
            .filter(|object| kind.is_some_and(|kind| object.is_a(kind)))
            .collect();
        if of_kind.is_empty() { named } else { of_kind }
    }

    /// The names of the entry that no object bears.
    pub(super) fn unknown(&self, objects: &[Object]) -> Vec<String> {
        self.named
            .iter()
            .filter(|name| !objects.iter().any(|object| name.is_of(object)))
            .map(Description::to_string)
            .collect()
    }

    /// The first name, for an entry that is about nothing.
    pub(super) fn first(&self) -> (String, String) {
        let part = |part: fn(&Description) -> &Option<String>| {
            self.named
                .first()
                .and_then(|name| part(name).clone())
                .unwrap_or_default()
        };
        (part(|name| &name.namespace), part(|name| &name.name))
    }
}

impl Description {
    /// `name` or `namespace/name`.
    fn parse(text: &str) -> Self {
        let (namespace, name) = match text.split_once('/') {
            Some((namespace, name)) => (Some(namespace.to_owned()), name),
            None => (None, text),
        };
        Self {
            namespace,
            name: Some(name.to_owned()),
            ..Self::default()
        }
    }

    fn of_spec(spec: &Cursor<'_>) -> Result<Self, Fault> {
        spec.only(&["group", "version", "kind", "namespace", "name", "subresource"])?;
        let text = |key| -> Result<Option<String>, Fault> {
            let text = spec.get(key).map(|text| text.text()).transpose()?;
            Ok(text.filter(|text| !text.is_empty()).map(str::to_owned))
        };
        Ok(Self {
            group: text("group")?,
            version: text("version")?,
            kind: text("kind")?,
            namespace: text("namespace")?,
            name: text("name")?,
        })
    }

    fn is_of(&self, object: &Object) -> bool {
        let is =
            |wanted: &Option<String>, found: &str| wanted.as_deref().is_none_or(|wanted| wanted == found);
        is(&self.group, &object.written_kind.group)
            && is(&self.version, &object.written_kind.version)
            && is(&self.kind, &object.written_kind.kind)
            && is(&self.namespace, object.namespace())
            && is(&self.name, object.name())
    }
}

impl std::fmt::Display for Description {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(kind) = &self.kind {
            write!(f, "{kind} ")?;
        }
        if let Some(namespace) = &self.namespace {
            write!(f, "{namespace}/")?;
        }
        f.write_str(self.name.as_deref().unwrap_or("*"))
    }
}
