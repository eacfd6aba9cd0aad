//! A table of values: facts before they are written, and what a query over them answers.

/// One value. A database and a CSV file know the same three.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Cell {
    /// There is no value.
    Null,
    /// A whole number.
    Integer(i64),
    /// Text.
    Text(String),
}

/// What a column of facts holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnType {
    /// Text: also times, ids and truth.
    Text,
    /// Whole numbers.
    Integer,
}

/// A type of a fact's field.
pub(crate) trait HasColumnType {
    /// The column's.
    const TYPE: ColumnType;
}

/// A value that a cell of a CSV file holds.
pub(crate) trait FromCell: Sized {
    /// The value; `None` where the text is none.
    fn from_cell(cell: &Cell) -> Option<Self>;
}

/// Rows under named columns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Its name, and that of its files.
    pub name: String,
    /// Names of the columns.
    pub columns: Vec<String>,
    /// The rows, each with a cell for every column.
    pub rows: Vec<Vec<Cell>>,
}

// === impl ColumnType ===

impl ColumnType {
    /// As SQLite names it.
    pub fn sql(self) -> &'static str {
        match self {
            Self::Text => "TEXT",
            Self::Integer => "INTEGER",
        }
    }
}

impl FromCell for String {
    fn from_cell(cell: &Cell) -> Option<Self> {
        Some(cell.as_text().unwrap_or_default().to_owned())
    }
}

impl FromCell for u64 {
    fn from_cell(cell: &Cell) -> Option<Self> {
        cell.as_text()?.parse().ok()
    }
}

impl FromCell for bool {
    fn from_cell(cell: &Cell) -> Option<Self> {
        cell.as_text()?.parse().ok()
    }
}

impl<T: FromCell> FromCell for Option<T> {
    fn from_cell(cell: &Cell) -> Option<Self> {
        match cell.as_text() {
            None | Some("") => Some(None),
            Some(_) => T::from_cell(cell).map(Some),
        }
    }
}

impl HasColumnType for String {
    const TYPE: ColumnType = ColumnType::Text;
}

impl HasColumnType for bool {
    const TYPE: ColumnType = ColumnType::Text;
}

impl HasColumnType for u64 {
    const TYPE: ColumnType = ColumnType::Integer;
}

impl<T: HasColumnType> HasColumnType for Option<T> {
    const TYPE: ColumnType = T::TYPE;
}

// === impl Table ===

impl Table {
    /// The cells of one column; none where there is no such column.
    pub fn column(&self, name: &str) -> impl Iterator<Item = &Cell> {
        let index = self.columns.iter().position(|column| column == name);
        self.rows.iter().filter_map(move |row| row.get(index?))
    }
}

// === impl Cell ===

impl Cell {
    /// The text, of a cell that holds text.
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Null | Self::Integer(_) => None,
        }
    }
}

impl From<&String> for Cell {
    fn from(text: &String) -> Self {
        Self::Text(text.clone())
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<&bool> for Cell {
    fn from(value: &bool) -> Self {
        Self::Text(value.to_string())
    }
}

impl From<&u64> for Cell {
    /// A number beyond what a database holds becomes text, which keeps its digits.
    fn from(number: &u64) -> Self {
        i64::try_from(*number).map_or_else(|_| Self::Text(number.to_string()), Self::Integer)
    }
}

impl From<&Option<String>> for Cell {
    fn from(text: &Option<String>) -> Self {
        text.as_ref().map_or(Self::Null, Self::from)
    }
}

impl From<&Option<u64>> for Cell {
    fn from(number: &Option<u64>) -> Self {
        number.as_ref().map_or(Self::Null, Self::from)
    }
}

impl From<&Option<bool>> for Cell {
    fn from(value: &Option<bool>) -> Self {
        value.as_ref().map_or(Self::Null, Self::from)
    }
}
