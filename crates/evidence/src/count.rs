//! Counts as people read them.

/// `1 chain`, `1,204 chains`.
pub fn counted(count: u64, noun: &str) -> String {
    format!("{} {noun}{}", number(count), if count == 1 { "" } else { "s" })
}

/// With a comma at each thousand.
pub fn number(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(0, "0 chains")]
    #[case(1, "1 chain")]
    #[case(999, "999 chains")]
    #[case(1_000, "1,000 chains")]
    #[case(1_204_331, "1,204,331 chains")]
    fn a_count_is_read_easily(#[case] count: u64, #[case] text: &str) {
        assert_eq!(counted(count, "chain"), text);
    }
}
