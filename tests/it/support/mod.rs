//! What several rooms' tests need.

pub(crate) mod agent;
pub(crate) mod chains;
pub(crate) mod check;
pub(crate) mod command_line;
pub(crate) mod credentials;
pub(crate) mod edits;
pub(crate) mod evidence;
pub(crate) mod forge;
pub(crate) mod gate;
pub(crate) mod history;
pub(crate) mod https;
pub(crate) mod install;
pub(crate) mod plain_http;
pub(crate) mod positions;
pub(crate) mod process;
pub(crate) mod random;
pub(crate) mod render;
pub(crate) mod usage;
pub(crate) mod webhook;
