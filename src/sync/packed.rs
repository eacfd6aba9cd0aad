//! A value as its JSON text: a tenth of the memory that it takes otherwise, for what is kept long and looked at seldom.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// A value, packed.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Packed<T = Value>(Form<T>);

#[derive(Clone, Debug, PartialEq)]
enum Form<T> {
    Text(Box<str>),
    /// One that its text would not give back as it is.
    Whole(Box<T>),
}

// === impl Packed ===

impl<T: Clone + Default + DeserializeOwned + PartialEq + Serialize> Packed<T> {
    /// Packs a value.
    pub(super) fn of(value: T) -> Self {
        let Ok(text) = serde_json::to_string(&value) else {
            return Self(Form::Whole(Box::new(value)));
        };
        // What comes out is what went in, to the last digit of a number.
        match serde_json::from_str::<T>(&text) {
            Ok(read) if read == value => Self(Form::Text(text.into_boxed_str())),
            _ => Self(Form::Whole(Box::new(value))),
        }
    }

    /// The value. Keys have the order that they had.
    pub(super) fn open(&self) -> T {
        match &self.0 {
            // It was read like this once before it was packed.
            Form::Text(text) => serde_json::from_str(text).unwrap_or_default(),
            Form::Whole(value) => (**value).clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn nested(depth: usize) -> Value {
        (0..depth).fold(json!(1), |inner, _| json!([inner]))
    }

    #[rstest]
    #[case(json!({"z": 1, "a": {"y": [null, true, "\u{7}\n\"é"], "b": -0.5}}))]
    #[case(json!(u64::MAX))]
    #[case(json!(i64::MIN))]
    #[case(json!(0.1 + 0.2))]
    #[case(json!(1e300))]
    #[case(nested(500))]
    fn a_value_comes_out_as_it_went_in(#[case] value: Value) {
        let opened = Packed::of(value.clone()).open();
        assert_eq!(opened, value);
        // Equality does not mind the order of keys; what is applied and recorded does.
        assert_eq!(opened.to_string(), value.to_string());
    }
}
