//! Text that matches a regular expression, drawn from the environment's seed.

use regex_syntax::hir::{Class, Hir, HirKind};

use super::{Call, Function, Outcome, quoted, regular};

pub(super) const FUNCTIONS: &[Function] = &[Function::new("random", 1, random)];

/// The longest text that is drawn, in bytes.
const MAX_LENGTH: usize = 4096;
/// How often what may be repeated without end is repeated beyond its minimum, at most.
const MAX_REPEATS: u32 = 16;
/// How deep groups nest.
const MAX_NESTING: u32 = 64;
/// Characters that are drawn rather than others, where a class has some of them.
const PRINTABLE: std::ops::RangeInclusive<u32> = 0x21..=0x7e;

fn random<'a>(call: &mut Call<'_, 'a>) -> Outcome<'a> {
    let pattern = call.text(0)?;
    if pattern.is_empty() {
        return Err(call.failure("the pattern is empty"));
    }
    call.evaluator.budget.spend(pattern.len() as u64)?;
    let tree = regex_syntax::ParserBuilder::new()
        .nest_limit(MAX_NESTING)
        .build()
        .parse(&regular::translate(&pattern))
        .map_err(|_| call.failure(format!("{} is not a regular expression", quoted(&pattern))))?;
    // What was spent so far is the same in each run, and differs from call to call.
    let seed = call.evaluator.environment.seed ^ call.evaluator.budget.steps().rotate_left(32);
    let mut draw = Draw {
        state: seed,
        text: String::new(),
        left: MAX_LENGTH,
    };
    if !draw.matching(&tree) {
        return Err(call.failure(format!(
            "{} matches no text, or a text beyond {MAX_LENGTH} bytes",
            quoted(&pattern)
        )));
    }
    call.evaluator.budget.spend((MAX_LENGTH - draw.left) as u64)?;
    call.give_text(draw.text)
}

/// A text in the making. Each node that is visited uses up some of what is left.
struct Draw {
    state: u64,
    text: String,
    left: usize,
}

// === impl Draw ===

impl Draw {
    /// A number below `bound` (SplitMix64).
    fn below(&mut self, bound: u32) -> u32 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        // The high half scaled down: no bias that anybody could see at such small bounds.
        u32::try_from(((mixed >> 32) * u64::from(bound)) >> 32).unwrap_or_default()
    }

    /// Appends a text that the tree matches; false where there is none, or none that is short enough.
    fn matching(&mut self, tree: &Hir) -> bool {
        let Some(left) = self.left.checked_sub(1) else {
            return false;
        };
        self.left = left;
        match tree.kind() {
            HirKind::Empty | HirKind::Look(_) => true,
            HirKind::Literal(literal) => match std::str::from_utf8(&literal.0) {
                Ok(text) => self.append(text),
                Err(_) => false,
            },
            HirKind::Class(class) => self.one_of(class),
            HirKind::Capture(capture) => self.matching(&capture.sub),
            HirKind::Concat(parts) => parts.iter().all(|part| self.matching(part)),
            HirKind::Alternation(choices) => {
                let index = self.below(u32::try_from(choices.len()).unwrap_or(u32::MAX));
                choices
                    .get(index as usize)
                    .is_some_and(|choice| self.matching(choice))
            }
            HirKind::Repetition(repetition) => {
                let most = repetition
                    .max
                    .unwrap_or_else(|| repetition.min.saturating_add(MAX_REPEATS));
                let range = most.saturating_sub(repetition.min).saturating_add(1);
                let count = repetition.min + self.below(range);
                (0..count).all(|_| self.matching(&repetition.sub))
            }
        }
    }

    fn append(&mut self, text: &str) -> bool {
        let Some(left) = self.left.checked_sub(text.len()) else {
            return false;
        };
        self.left = left;
        self.text.push_str(text);
        true
    }

    fn one_of(&mut self, class: &Class) -> bool {
        let ranges: Vec<(u32, u32)> = match class {
            Class::Unicode(class) => class
                .ranges()
                .iter()
                .map(|range| (range.start().into(), range.end().into()))
                .collect(),
            Class::Bytes(class) => class
                .ranges()
                .iter()
                .map(|range| (range.start().into(), range.end().into()))
                .collect(),
        };
        let printable: Vec<(u32, u32)> = ranges
            .iter()
            .map(|(start, end)| (*start.max(PRINTABLE.start()), *end.min(PRINTABLE.end())))
            .filter(|(start, end)| start <= end)
            .collect();
        let ranges = if printable.is_empty() { ranges } else { printable };
        let size = ranges.iter().map(|(start, end)| end - start + 1).sum();
        let mut index = self.below(size);
        for (start, end) in ranges {
            let length = end - start + 1;
            if index < length {
                // Ranges of characters have no surrogates in them.
                let Some(letter) = char::from_u32(start + index) else {
                    return false;
                };
                return self.append(letter.encode_utf8(&mut [0; 4]));
            }
            index -= length;
        }
        false
    }
}
