//! Where each field of a document stands in its file.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};

use serde_saphyr::granit_parser::{self, Event, Parser, ScalarStyle, Span};

use super::tree;
use crate::path::FieldPath;

/// A stretch of one line of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// Line, from 1.
    pub line: usize,
    /// Column, in characters from 1.
    pub column: usize,
    /// Length in characters; what goes on over several lines counts to its end.
    pub length: usize,
}

/// The place of every field of one document.
///
/// What an alias or a merge key brings in has no place of its own: [`Positions::nearest`] leads to where it is used.
#[derive(Debug)]
pub struct Positions {
    places: Places,
    start: Position,
}

/// Places by the hashes of their paths: the paths themselves would take several times the document's own memory. That
/// two of a document's paths share a hash of 64 bits happens once in billions of documents, and shows a wrong line.
#[derive(Debug, Default)]
struct Places {
    hasher: RandomState,
    by_hash: HashMap<u64, Place>,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    key: Option<Position>,
    value: Position,
}

// === impl Places ===

impl Places {
    fn insert(&mut self, path: &FieldPath, place: Place) {
        self.by_hash.insert(self.hasher.hash_one(path), place);
    }

    fn get(&self, path: &FieldPath) -> Option<&Place> {
        self.by_hash.get(&self.hasher.hash_one(path))
    }
}

// === impl Positions ===

impl Positions {
    /// Of a document whose text begins on `first_line` of its file.
    pub(super) fn of(text: &str, first_line: usize) -> Self {
        let options = granit_parser::options! {
            emit_comments: false,
        };
        let mut walk = Walk {
            events: Parser::new_from_str_with_options(text, options),
            lines_above: first_line.saturating_sub(1),
            path: FieldPath::root(),
            places: Places::default(),
        };
        // The text has been read already; where this reading of it ends early (JSON with surrogates in it), the
        // places found so far still hold.
        let _ = walk.document();
        let start = Position {
            line: first_line,
            column: 1,
            length: 1,
        };
        Self {
            start: walk
                .places
                .get(&FieldPath::root())
                .map_or(start, |root| root.value),
            places: walk.places,
        }
    }

    /// Where the value at the path begins.
    pub fn of_value(&self, path: &FieldPath) -> Option<Position> {
        self.places.get(path).map(|place| place.value)
    }

    /// Where the key that the path ends in stands; an element of a list has none.
    pub fn of_key(&self, path: &FieldPath) -> Option<Position> {
        self.places.get(path).and_then(|place| place.key)
    }

    /// Where to look for the path: its key, or its element, or the nearest of its ancestors that is there, which is
    /// where somebody would add what is missing.
    pub fn nearest(&self, path: &FieldPath) -> Position {
        let mut path = path.clone();
        loop {
            if let Some(place) = self.places.get(&path) {
                return place.key.unwrap_or(place.value);
            }
            if path.pop().is_none() {
                return self.start;
            }
        }
    }
}

/// A walk over the events of one document.
struct Walk<'t> {
    events: Parser<'t, granit_parser::StrInput<'t>>,
    lines_above: usize,
    path: FieldPath,
    places: Places,
}

// === impl Walk ===

impl<'t> Walk<'t> {
    /// `None` where the events end early.
    fn document(&mut self) -> Option<()> {
        loop {
            match self.next()? {
                (Event::StreamStart | Event::DocumentStart(..), _) => {}
                (event, span) => return self.node(&event, span, None),
            }
        }
    }

    fn next(&mut self) -> Option<(Event<'t>, Span)> {
        self.events.next()?.ok()
    }

    fn node(&mut self, event: &Event<'t>, span: Span, key: Option<Position>) -> Option<()> {
        let value = self.position(span);
        self.places.insert(&self.path, Place { key, value });
        match event {
            Event::MappingStart(..) => self.mapping(),
            Event::SequenceStart(..) => self.sequence(),
            _ => Some(()),
        }
    }

    fn mapping(&mut self) -> Option<()> {
        loop {
            let (event, span) = self.next()?;
            if matches!(event, Event::MappingEnd) {
                return Some(());
            }
            // A key that is no scalar was refused when the document was read.
            let key = key_of(&event)?;
            let position = self.position(span);
            let (event, span) = self.next()?;
            self.path.push_key(key);
            self.node(&event, span, Some(position))?;
            self.path.pop();
        }
    }

    fn sequence(&mut self) -> Option<()> {
        for index in 0.. {
            let (event, span) = self.next()?;
            if matches!(event, Event::SequenceEnd) {
                break;
            }
            self.path.push_index(index);
            self.node(&event, span, None)?;
            self.path.pop();
        }
        Some(())
    }

    fn position(&self, span: Span) -> Position {
        Position {
            line: span.start.line() + self.lines_above,
            column: span.start.col() + 1,
            length: span.len().max(1),
        }
    }
}

fn key_of(event: &Event<'_>) -> Option<String> {
    let Event::Scalar(text, style, ..) = event else {
        return None;
    };
    // Only a plain scalar can mean something else than its text, and of those few do.
    let may_be_typed = *style == ScalarStyle::Plain
        && (text.len() <= 5 || text.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c)));
    if may_be_typed {
        tree::key_text(text)
    } else {
        Some(text.to_string())
    }
}
