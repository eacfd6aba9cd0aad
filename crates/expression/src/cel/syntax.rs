//! From text to a syntax tree, by the `cel` crate's parser. Macros stay calls: they are resolved later.

use std::thread;

use cel::common::ast::SourceInfo;
use cel::{Env, IdedExpr, ParseErrors};

use super::error::CompileError;

/// The longest text that is compiled, in bytes.
pub const MAX_LENGTH: usize = 8 * 1024;
/// How deep brackets may nest, for the parser, which recurses over what stands between them.
const MAX_PARSER_DEPTH: u16 = 200;
/// The stack that parsing gets: the parser recurses deeply, and its frames are large. Only what is used is paid.
const STACK_BYTES: usize = 64 * 1024 * 1024;

/// Parses a text and gives the tree to `then`.
///
/// Both run on a thread of their own: a tree may be as deep as its text is long, and walking or dropping it then
/// needs more stack than the caller may have.
pub(super) fn parse<T: Send>(
    text: &str,
    then: impl FnOnce(&IdedExpr, &SourceInfo) -> Result<T, CompileError> + Send,
) -> Result<T, CompileError> {
    if text.len() > MAX_LENGTH {
        return Err(CompileError::whole(format!(
            "the expression is longer than {MAX_LENGTH} bytes"
        )));
    }
    let parse = || {
        let parser = Env::default().with_optional_support(true).parser();
        let (tree, source) = parser
            .enable_ident_escape_syntax(true)
            .max_recursion_depth(MAX_PARSER_DEPTH)
            .parse_with_source_info(text)
            .map_err(|errors| syntax_error(&errors, text))?;
        then(&tree, &source)
    };
    thread::scope(|scope| {
        thread::Builder::new()
            .stack_size(STACK_BYTES)
            .spawn_scoped(scope, parse)
            .map_err(|_| CompileError::whole("there is no thread to compile the expression on"))?
            .join()
            .map_err(|_| CompileError::whole("the expression cannot be parsed"))?
    })
}

fn syntax_error(errors: &ParseErrors, text: &str) -> CompileError {
    let Some(first) = errors.errors.first() else {
        return CompileError::whole("the expression cannot be parsed");
    };
    let (line, column) = (
        usize::try_from(first.pos.0).unwrap_or(0),
        usize::try_from(first.pos.1).unwrap_or(0),
    );
    let before: usize = text
        .split_inclusive('\n')
        .take(line.saturating_sub(1))
        .map(str::len)
        .sum();
    let within = text[before..]
        .chars()
        .take(column.saturating_sub(1))
        .map(char::len_utf8)
        .sum::<usize>();
    let message = first.msg.strip_prefix("Syntax error: ").unwrap_or(&first.msg);
    CompileError {
        offset: (line > 0).then_some(before + within),
        message: message.lines().next().unwrap_or_default().to_owned(),
    }
}
