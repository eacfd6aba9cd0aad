//! Anchors: the marks around a pattern's key that say when the key counts.

/// What stands around a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Anchor {
    /// `k`: the field must be as the pattern says.
    Plain,
    /// `(k)`: the rest counts only where this field is as the pattern says.
    Condition,
    /// `=(k)`: where the field is there, it must be as the pattern says.
    Equality,
    /// `X(k)`: the field must not be there.
    Negation,
    /// `^(k)`: where the list is there, some element must be as the pattern says.
    Existence,
    /// `<(k)`: where the field is there and is not as the pattern says, the whole rule does not count.
    Global,
    /// `+(k)`: for mutation only.
    Addition,
}

impl Anchor {
    /// Splits a pattern's key: `=(hostNetwork)` is [`Anchor::Equality`] and `hostNetwork`.
    pub(crate) fn split(text: &str) -> (Self, &str) {
        Self::anchored(text.trim()).unwrap_or((Self::Plain, text))
    }

    fn anchored(text: &str) -> Option<(Self, &str)> {
        let (mark, rest) = text.split_once('(')?;
        let key = rest.strip_suffix(')').filter(|key| !key.is_empty())?;
        let anchor = match mark {
            "" => Self::Condition,
            "=" => Self::Equality,
            "X" => Self::Negation,
            "^" => Self::Existence,
            "<" => Self::Global,
            "+" => Self::Addition,
            _ => return None,
        };
        Some((anchor, key))
    }

    /// Whether keys with this anchor are decided before all others of their map.
    pub(super) fn decides_first(self) -> bool {
        matches!(
            self,
            Self::Condition | Self::Equality | Self::Negation | Self::Existence
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("image", Anchor::Plain, "image")]
    #[case("(image)", Anchor::Condition, "image")]
    #[case(" =(image) ", Anchor::Equality, "image")]
    #[case("X(hostPath)", Anchor::Negation, "hostPath")]
    #[case("^(containers)", Anchor::Existence, "containers")]
    #[case("<(image)", Anchor::Global, "image")]
    #[case("( a )", Anchor::Condition, " a ")]
    #[case("((a))", Anchor::Condition, "(a)")]
    #[case("()", Anchor::Plain, "()")]
    #[case("?(a)", Anchor::Plain, "?(a)")]
    #[case("a(b)", Anchor::Plain, "a(b)")]
    fn an_anchor_is_split_from_its_key(#[case] text: &str, #[case] anchor: Anchor, #[case] key: &str) {
        assert_eq!(Anchor::split(text), (anchor, key));
    }
}
